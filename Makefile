# Thin calls of tools/make.py, which does the work and also runs without make.
#   make demo                                 animate the shipped portrait into demo.mp4
#   make test                                 all tests and checks
#   make test ARGS="tests/test_packaging.py"  only these tests
#   make matrix                               demo and smoke tests on all other Pythons, newest packages
#   make demo PYTHON=python3.12               with another Python
PYTHON ?= python3

.PHONY: demo test matrix lint clean
demo test matrix lint clean:
	@"$(PYTHON)" tools/make.py $@ $(ARGS)
