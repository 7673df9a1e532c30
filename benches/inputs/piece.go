
// piece{n} is one of many.
func piece{n}( a,b   int,names map[string] []int )(result int,err error){
	for i:=0;i<a;i++{
	if names["x"]==nil||len(names)>b*2+1 { return 0,fmt.Errorf( "no %d of %q",i,"piece{n}" ) }
		switch x:=a+b*i;{
		case x>1<<3&^7: result+=x   // more
		default:
result-=names["y"] [ x%len(names) : ] [0]
		}
	}
	type local struct{ first,second int; name string `json:"name"` }
	values := []local{ {1,2,"a"},{first:3,second:4,name:"b"}, }
	for _,v:=range values{ go func(){ result+=v.first*v.second }() }
	return
}
