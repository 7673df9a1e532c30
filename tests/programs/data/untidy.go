package main
import ("fmt"
 "sort";"strings")

type   point struct{x,y int // coordinates
name string
}

var table=[]point{point{1,2,"a"},point{x:3,y:4,name:"b"}}
func (p *point)move( dx,dy int)(*point){p.x+=dx
p.y+=dy;return p}

func words(s string)map[string]int{
	m:=map[string]int{}
for _,w:=range strings.Fields(s){ m[ w ]++ }
	return m }
/* block
   comment */
func main(){
 ch:=make(chan int,3)
	go func( ){defer close(ch);for i:=0;i<3;i++{ch<-i*i}}()
	for v:=range ch{fmt.Println(v)}
	s:=[]int{3,1,2}
	sort.Slice(s,func(i,j int)bool{return s[i]<s[j]})
	fmt.Println(s[1:len(s)],words("a b a"),table[0].move(1,1))
	switch x:=len(s);{
	case x>2:
fmt.Println("many")
		fallthrough
	default: goto end
	}
end:
	if a:=1;a>0{fmt.Printf("%v\n",a)}else if a<0{}
}
func generic[K comparable,V any](m map[K]V)[]K{var keys []K;for k,_:=range m{keys=append(keys,k)};return keys}
