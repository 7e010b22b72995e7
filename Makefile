# The work is in script/ and in `hoist up`, `hoist down` and `hoist purge`.

.PHONY: up down purge build test test-deps bench

up:
	@script/up.sh

down:
	@script/as-root.sh bin/hoist down

purge:
	@script/as-root.sh bin/hoist purge

build:
	@script/build.sh

test:
	@script/test.sh

test-deps:
	@script/test-deps.sh

bench:
	@script/bench.sh
