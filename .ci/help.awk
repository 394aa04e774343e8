# Prints the targets of a Makefile that have a `##` comment, under the `##@` headings they stand below.
BEGIN { FS = ":.*##[ \t]*"; print "make TARGET" }
/^##@/ { printf "\n%s\n", substr($0, 5) }
/^[a-z0-9-]+:.*##/ { printf "  %-16s %s\n", $1, $2 }
