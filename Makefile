# The commands of this repository. Each says what it does, and may be run again at any time.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.PHONY: help up down clean-apps test bench chaos fmt

help:
	@echo 'make up          install what is missing, build, start Windlass here, and say how to push an app'
	@echo 'make test        install what is missing, run every check and every test'
	@echo 'make down        stop Windlass; the containers of your apps go on running'
	@echo 'make clean-apps  remove the containers, networks and images of your apps too'
	@echo 'make bench       measure a deploy, the pick-up and the memory, beside the floor of this machine'
	@echo 'make chaos       kill, stop and fill what Windlass stands on, and judge it; SEED=…, MINUTES=…, ROUNDS=…, SCENARIO=… steer it'
	@echo 'make fmt         format the code'

up:
	@scripts/up

down:
	@scripts/down

clean-apps:
	@scripts/clean-apps

test:
	@scripts/test

bench:
	@scripts/bench

chaos:
	@scripts/chaos

fmt:
	@. scripts/settings.sh && cargo fmt --all
