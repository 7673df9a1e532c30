module go-worker

go 1.24
