package main

// version is set when the program is linked.
var version = "dev"
