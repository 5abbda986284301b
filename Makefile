# make            the command line program and the examples, under build/
# make run        plan the sample of a large model
# make test       build and run all tests; ends with "N passed, N failed"
# make bench      time the presets beside a straightforward C++ planner; make bench-torch, beside the
#                 reference algorithm in PyTorch too, where PYTHON has it
# make sample     write the sample of loads anew
# make install    the header and eplb.pc, under PREFIX (/usr/local) and DESTDIR
# make clean
#
# Needs a C compiler, a C++ compiler and make. BUILD, CC, CXX, CFLAGS and CXXFLAGS may be given; with
# other compilers or flags give another BUILD too, or make clean first.

BUILD     ?= build
PREFIX    ?= /usr/local
DESTDIR   ?=
CFLAGS    ?= -O2
CXXFLAGS  ?= -O2
WARNINGS  ?= -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Werror
RUN_ENV   ?=

C   = $(CC) -std=c99 $(WARNINGS) $(CFLAGS) -I.
CPP = $(CXX) -std=c++11 $(WARNINGS) $(CXXFLAGS) -I.

VERSION  := $(shell sed -n 's/^.define EPLB_VERSION_STRING *"\(.*\)"/\1/p' eplb.h)
SAMPLE   := examples/data/loads_58x256.csv
EXAMPLES := $(BUILD)/minimal $(BUILD)/threads $(BUILD)/cplusplus $(BUILD)/gen_loads
TESTS    := $(patsubst tests/%.c,$(BUILD)/tests/%,$(sort $(wildcard tests/test_*.c))) $(BUILD)/tests/test_linkage \
            $(BUILD)/tests/plain_oracle $(BUILD)/tests/plain_plan_hash

all: $(BUILD)/eplb $(EXAMPLES)

$(BUILD) $(BUILD)/tests $(BUILD)/bench:
	mkdir -p $@

# ---------------------------------------------------------------- programs

$(BUILD)/eplb: examples/eplb_cli.c eplb.h | $(BUILD)
	$(C) -o $@ $<

$(BUILD)/minimal: examples/minimal.c eplb.h | $(BUILD)
	$(C) -o $@ $<

$(BUILD)/threads: examples/threads.c eplb.h | $(BUILD)
	$(C) -pthread -o $@ $<

$(BUILD)/cplusplus: examples/cplusplus.cpp eplb.h | $(BUILD)
	$(CPP) -o $@ $<

$(BUILD)/gen_loads: examples/gen_loads.c | $(BUILD)
	$(C) -o $@ $< -lm

run: $(BUILD)/eplb
	$(RUN_ENV) $(BUILD)/eplb plan $(SAMPLE) --replicas 288 --gpus 32 --nodes 4 --groups 8

sample: $(BUILD)/gen_loads
	$(BUILD)/gen_loads > $(BUILD)/sample.csv && mv $(BUILD)/sample.csv $(SAMPLE)

# ---------------------------------------------------------------- tests

$(BUILD)/tests/%: tests/%.c eplb.h $(wildcard tests/*.h) | $(BUILD)/tests
	$(C) -o $@ $< -lm

# The same without vector instructions.
$(BUILD)/tests/plain_%: tests/test_%.c eplb.h $(wildcard tests/*.h) | $(BUILD)/tests
	$(C) -DEPLB_NO_SIMD -o $@ $< -lm

# One extern implementation (C), two static copies (C and C++) and a C++ caller in one program.
$(BUILD)/tests/test_linkage: tests/linkage_main.cpp tests/linkage_static.cpp tests/linkage_extern.c \
                             tests/linkage_static.c tests/linkage.h eplb.h tests/test.h | $(BUILD)/tests
	$(C) -c -o $(BUILD)/tests/linkage_extern.o tests/linkage_extern.c
	$(C) -c -o $(BUILD)/tests/linkage_static.o tests/linkage_static.c
	$(CPP) -o $@ tests/linkage_main.cpp tests/linkage_static.cpp $(BUILD)/tests/linkage_extern.o $(BUILD)/tests/linkage_static.o

test: all $(TESTS) $(BUILD)/npy_write $(BUILD)/bench/bench
	CC="$(CC)" CFLAGS="$(CFLAGS)" RUN_ENV="$(RUN_ENV)" sh tests/run.sh $(BUILD) $(TESTS)

$(BUILD)/npy_write: tests/npy_write.c | $(BUILD)
	$(C) -o $@ $<

# ---------------------------------------------------------------- benchmark

$(BUILD)/bench/baseline.o: tests/bench/baseline.cpp tests/bench/baseline.h | $(BUILD)/bench
	$(CPP) -c -o $@ $<

$(BUILD)/bench/%.o: tests/bench/%.c tests/bench/bench.h tests/bench/baseline.h eplb.h | $(BUILD)/bench
	$(C) -c -o $@ $<

$(BUILD)/bench/bench: $(patsubst %,$(BUILD)/bench/%.o,bench common stages fits torch baseline)
	$(CXX) $(CXXFLAGS) -o $@ $^ -lm

PYTHON ?= python3

bench-torch: $(BUILD)/bench/bench
	PYTHON="$(PYTHON)" $(BUILD)/bench/bench --torch

.PHONY: bench-torch

bench: $(BUILD)/bench/bench
	$(BUILD)/bench/bench

# ---------------------------------------------------------------- install

install:
	mkdir -p $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/lib/pkgconfig
	cp eplb.h $(DESTDIR)$(PREFIX)/include/eplb.h
	printf 'prefix=%s\nincludedir=$${prefix}/include\n\nName: eplb\nDescription: %s\nVersion: %s\nCflags: -I$${includedir}\n' \
	    '$(PREFIX)' 'Expert-parallelism load balancer in one C header' '$(VERSION)' \
	    > $(DESTDIR)$(PREFIX)/lib/pkgconfig/eplb.pc

clean:
	rm -rf $(BUILD)

.PHONY: all run sample test bench install clean
