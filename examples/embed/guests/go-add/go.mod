module go-add

go 1.24
