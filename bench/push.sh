#!/bin/sh
# push.sh NAME COMMAND: the time from `git push` of examples/NAME to an answer
# from what was pushed, beside that of the bare build COMMAND in a clean copy;
# both with warm caches, one after the other. Prints "push bare", medians of five
# in seconds. Needs bin/hoist.
cd "$(dirname "$0")/.."
. bench/platform.sh
command=$2
bare() { (cd "$dir/bare" && quiet sh -c "$command"); }
clean_copy() { rm -rf "$dir/bare" && git clone -q "$dir/app" "$dir/bare"; }

start
app "$1"
push
clean_copy
bare
for i in 1 2 3 4 5; do
    change $i
    timed "$dir/push" push
    clean_copy
    timed "$dir/bares" bare
done
printf '%s %s\n' "$(seconds "$dir/push")" "$(seconds "$dir/bares")"
