module countersign.example/gotemplate

go 1.26
