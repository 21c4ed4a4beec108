"""The roles of a designer: what each is asked, and how its answer is read. One file each."""
