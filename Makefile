# make            the command line program and the examples, under build/
# make run        plan the sample of a large model
# make test       build and run all tests, JOBS at once; ends with "N passed, N failed"
# make check      the gates of the test matrix that take seconds; make check-all has all of them, and
#                 make check-NAME those called NAME (plan, plan-s390x, fuzz, ..); tests/check/
# make bench      time the presets beside a straightforward C++ planner; make bench-torch, beside the
#                 reference algorithm in PyTorch too, where PYTHON has it; make bench-against OTHER=old.h, eplb.h
#                 beside another copy of it, such as git show REVISION:eplb.h > old.h writes; make bench-migration,
#                 what moving little gains, with TRACE=.. for loads of your own too, as CSV and a picture under build/;
#                 make bench-vllm WHEEL=.., the host's part of a rebalance beside vLLM's functions, from its package
# make lib        build/libeplb.so, which exports the public interface and nothing else, for other languages;
#                 examples/python/eplb.py loads it
# make cuda       where there is nvcc: libeplb_cuda.a, its tests, example and benchmark for a real GPU, under
#                 build/cuda/, and checks of the code that nvcc makes
# make test-cuda  run these tests, on a GPU
# make bench-cuda time the presets on a GPU; make bench-cuda-emulated counts, without one, what the kernels' threads
#                 wait for one after the other, beside version 0.1; make chains REVISION=.. counts it for another
# make bench-ranks  where there is MPI: planning time over numbers of processes, RANKS="1 2 4"
# make sample     write the sample of loads anew; make pictures, the four pictures that the pages show
# make install    the header, the GPU's two files, and what pkg-config and CMake find them by, under PREFIX (/usr/local)
#                 and DESTDIR; make uninstall removes them
# make dist       build/eplb-VERSION.tar.gz, the same bytes each time, and its checksum
# make clean
#
# Needs a C compiler, a C++ compiler and make. BUILD, CC, CXX, CFLAGS and CXXFLAGS may be given, and NVCC and
# CUDA_ARCHS for make cuda; with other compilers or flags give another BUILD too, or make clean first. With
# WERROR=-Werror warnings are errors, as they are in .ci/run and in the gates. Where there is zlib, the command
# line program reads deflated .npz with it; HAVE_ZLIB=0 leaves it out. Where MPICC links programs with MPI,
# examples/mpi_rebalance.c is built too; HAVE_MPI=0 leaves it out.

BUILD     ?= build
PREFIX    ?= /usr/local
DESTDIR   ?=
CFLAGS    ?= -O2
CXXFLAGS  ?= -O2
WARNINGS  ?= -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow
WERROR    ?=
RUN_ENV   ?=
PYTHON    ?= python3
MPICC     ?= mpicc
MPIRUN    ?= mpirun
NVCC      ?= nvcc
CUDA_ARCHS ?= 80 90 100

C   = $(CC) -std=c99 $(WARNINGS) $(WERROR) $(CFLAGS) -I.
CPP = $(CXX) -std=c++11 $(WARNINGS) $(WERROR) $(CXXFLAGS) -I.

# Whether a program with zlib can be made.
ifndef HAVE_ZLIB
HAVE_ZLIB := $(shell program=$$(mktemp) && \
                 printf '\043include <zlib.h>\nint main(void) { return zlibVersion() == 0; }\n' | \
                     $(CC) $(CFLAGS) -x c -o $$program - -lz 2>/dev/null && echo 1 || echo 0; rm -f $$program)
endif
ZLIB_FLAGS := $(if $(filter 1,$(HAVE_ZLIB)),-DEPLB_CLI_ZLIB)
ZLIB_LIBS  := $(if $(filter 1,$(HAVE_ZLIB)),-lz)

# mpicc, of Open MPI or MPICH, with the compiler and flags given here; and whether that makes a program.
MPI_C = OMPI_CC="$(CC)" MPICH_CC="$(CC)" $(MPICC) -std=c99 $(CFLAGS)
ifndef HAVE_MPI
HAVE_MPI := $(shell command -v $(MPICC) >/dev/null && program=$$(mktemp) && \
                printf '\043include <mpi.h>\nint main(void) { return MPI_Finalize(); }\n' | \
                    $(MPI_C) -x c -o $$program - 2>/dev/null && echo 1 || echo 0; rm -f $$program)
endif
MPI_EXAMPLE := $(if $(filter 1,$(HAVE_MPI)),$(BUILD)/mpi_rebalance)

VERSION  := $(shell sed -n 's/^.define EPLB_VERSION_STRING *"\(.*\)"/\1/p' eplb.h)
SAMPLE   := examples/data/loads_58x256.csv
EXAMPLES := $(BUILD)/minimal $(BUILD)/threads $(BUILD)/cplusplus $(BUILD)/route $(BUILD)/elastic $(BUILD)/gen_loads $(BUILD)/embedded \
            $(MPI_EXAMPLE)
FUZZERS  := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/%,$(wildcard tests/fuzz/fuzz_*.c))
TESTS    := $(patsubst tests/%,$(BUILD)/tests/%,$(basename $(sort $(wildcard tests/test_*.c tests/test_*.cpp)))) \
            $(FUZZERS)

all: $(BUILD)/eplb $(EXAMPLES)

$(BUILD) $(BUILD)/cli $(BUILD)/tests $(BUILD)/bench:
	mkdir -p $@

# ---------------------------------------------------------------- programs

# Each has the whole library in it, and plans for a moment: -O1 takes half as long to compile.
$(EXAMPLES) $(BUILD)/tests/linkage_extern.o $(BUILD)/tests/linkage_static.o: CFLAGS := $(CFLAGS:-O2=-O1)
$(EXAMPLES): CXXFLAGS := $(CXXFLAGS:-O2=-O1)

$(BUILD)/eplb: $(patsubst examples/%.c,$(BUILD)/%.o,$(wildcard examples/cli/*.c))
	$(C) -o $@ $^ -lm $(ZLIB_LIBS)

$(BUILD)/cli/%.o: examples/cli/%.c examples/cli/cli.h eplb.h | $(BUILD)/cli
	$(C) $(ZLIB_FLAGS) -c -o $@ $<

$(BUILD)/minimal: examples/minimal.c eplb.h | $(BUILD)
	$(C) -o $@ $<

$(BUILD)/threads: examples/threads.c eplb.h | $(BUILD)
	$(C) -pthread -o $@ $<

$(BUILD)/route: examples/route.c eplb.h | $(BUILD)
	$(C) -o $@ $<

$(BUILD)/elastic: examples/elastic.c eplb.h | $(BUILD)
	$(C) -o $@ $<

$(BUILD)/mpi_rebalance: examples/mpi_rebalance.c eplb.h | $(BUILD)
	$(MPI_C) $(WARNINGS) $(WERROR) -I. -o $@ $<

$(BUILD)/cplusplus: examples/cplusplus.cpp eplb.h | $(BUILD)
	$(CPP) -o $@ $<

$(BUILD)/gen_loads: examples/gen_loads.c | $(BUILD)
	$(C) -o $@ $< -lm

# On a machine with a libc; tests/check/freestanding.sh builds it for others.
$(BUILD)/embedded: examples/embedded/plan.c examples/embedded/host.c examples/embedded/board.h eplb.h | $(BUILD)
	$(C) -o $@ $(filter %.c,$^)

lib: $(BUILD)/libeplb.so

$(BUILD)/libeplb.so: eplb.h | $(BUILD)
	$(C) -fPIC -shared -DEPLB_IMPLEMENTATION -o $@ -x c $<

run: $(BUILD)/eplb
	$(RUN_ENV) $(BUILD)/eplb plan $(SAMPLE) --replicas 288 --gpus 32 --nodes 4 --groups 8

sample: $(BUILD)/gen_loads
	$(BUILD)/gen_loads > $(BUILD)/sample.csv && mv $(BUILD)/sample.csv $(SAMPLE)

# The pictures of the pages, of loads that anybody can make: the sample before and after; plans that are kept for 16
# windows of 16 steps, 8 times over, while half of what they were made for is forgotten in 128 steps; what a plan gains
# by changing slots; how near the bound more effort comes.
WANDER := $(BUILD)/wander.csv
pictures: $(BUILD)/gen_loads $(BUILD)/eplb $(BUILD)/bench/bench $(BUILD)/bench/migration
	$(BUILD)/eplb plan $(SAMPLE) --replicas 288 --gpus 32 --svg examples/data/heat_map.svg --quiet
	$(BUILD)/gen_loads --layers 8 --steps 2064 --wander 128 > $(WANDER)
	$(BUILD)/eplb replay $(WANDER) --replicas 288 --gpus 32 --window 16 --every 16 --shares equal,exact \
	    --preset default,deepseek --svg examples/data/plan_age.svg --quiet
	$(BUILD)/bench/migration curve --svg examples/data/migration.svg
	$(BUILD)/bench/bench --effort tests/bench/effort.svg

# ---------------------------------------------------------------- tests

SUPPORT      := $(wildcard tests/support/*.h)
FUZZ_SUPPORT := $(wildcard tests/fuzz/*.h) $(SUPPORT) eplb.h
TEST_C        = $(C) -Itests/support
TEST_CPP      = $(CPP) -Itests/support

# What knows the public interface only is linked with one copy of the library; what looks inside with another, which these
# tests have in common. The one that counts the library's steps has its own.
LIBRARY  = $(BUILD)/tests/eplb.o
INSIDE   = $(BUILD)/tests/inside.o
INSIDERS := $(shell sed -n 's/^.define main \(.*\)_main/\1/p' tests/check/insiders.c)

$(LIBRARY): eplb.h | $(BUILD)/tests
	$(C) -DEPLB_IMPLEMENTATION= -c -o $@ -x c $<

$(BUILD)/tests/%: tests/%.c $(LIBRARY) $(SUPPORT)
	$(TEST_C) -o $@ $< $(LIBRARY) -lm

$(INSIDE): tests/check/insiders.c $(patsubst %,tests/%.c,$(INSIDERS)) $(SUPPORT) eplb.h | $(BUILD)/tests
	$(TEST_C) -c -o $@ $<

$(patsubst %,$(BUILD)/tests/%,$(INSIDERS)): $(BUILD)/tests/%: $(INSIDE)
	printf 'int $*_main(int argc, char **argv);\nint main(int argc, char **argv) { return $*_main(argc, argv); }\n' > $@.main.c
	$(TEST_C) -o $@ $@.main.c $(INSIDE) -lm

$(BUILD)/tests/test_bounded: tests/test_bounded.c $(SUPPORT) eplb.h | $(BUILD)/tests
	$(TEST_C) -o $@ $< -lm

# The same as machines without vector instructions have it; for make check-oracle.
$(BUILD)/tests/plain_oracle: tests/test_oracle.c eplb.h $(SUPPORT) | $(BUILD)/tests
	$(TEST_C) -DEPLB_NO_SIMD -o $@ $< -lm

# One extern implementation (C), two static copies (C and C++) and a C++ caller in one program.
$(BUILD)/tests/linkage_%.o: tests/support/linkage_%.c tests/support/linkage.h eplb.h | $(BUILD)/tests
	$(C) -c -o $@ $<

$(BUILD)/tests/test_linkage: tests/test_linkage.cpp tests/support/linkage_static.cpp $(BUILD)/tests/linkage_extern.o \
                             $(BUILD)/tests/linkage_static.o $(SUPPORT) eplb.h
	$(TEST_CPP) -o $@ $(filter %.cpp %.o,$^)

# The GPU's kernels, on fibres instead of a GPU: tests/emulated/ stands in for CUDA's headers.
EMULATED      = $(CXX) -std=c++17 $(WARNINGS) $(WERROR) -Wno-unknown-pragmas $(CXXFLAGS) -I. -Itests/support -Itests/emulated
EMULATED_CUDA = $(BUILD)/tests/emulated_runtime.o $(BUILD)/tests/emulated_eplb_cuda.o

$(BUILD)/tests/emulated_runtime.o: tests/emulated/cuda_runtime.cpp $(wildcard tests/emulated/*.h) | $(BUILD)/tests
	$(EMULATED) -c -o $@ $<

$(BUILD)/tests/emulated_eplb_cuda.o: eplb_cuda.cu eplb_cuda.h eplb.h $(wildcard tests/emulated/*.h) \
                                     | $(BUILD)/tests
	$(EMULATED) -c -o $@ -x c++ $<

$(BUILD)/tests/test_emulated: tests/test_emulated.cpp $(BUILD)/tests/emulated_runtime.o tests/support/test.h
	$(EMULATED) -o $@ $< $(BUILD)/tests/emulated_runtime.o

$(BUILD)/tests/test_cuda $(BUILD)/tests/test_cuda_chain $(BUILD)/tests/test_cuda_share $(BUILD)/tests/test_cuda_alone: $(BUILD)/tests/%: tests/%.cpp $(EMULATED_CUDA) $(LIBRARY) $(SUPPORT)
	$(EMULATED) -o $@ $< $(EMULATED_CUDA) $(LIBRARY)

$(BUILD)/tests/fuzz_cuda: tests/fuzz/fuzz_cuda.c $(BUILD)/tests/replay.o $(LIBRARY) $(EMULATED_CUDA) $(FUZZ_SUPPORT)
	$(TEST_C) -Itests/emulated -c -o $(BUILD)/tests/fuzz_cuda.o $<
	$(CXX) $(CXXFLAGS) -o $@ $(BUILD)/tests/fuzz_cuda.o $(BUILD)/tests/replay.o $(LIBRARY) $(EMULATED_CUDA)

$(BUILD)/emulated_cuda_graph: examples/cuda_graph.cu $(EMULATED_CUDA)
	$(EMULATED) -o $@ -x c++ $< -x none $(EMULATED_CUDA)

# The fuzz targets, with a main that replays what is kept of what they found.
FUZZ_OBJECTS = $(BUILD)/tests/replay.o $(BUILD)/tests/plain.o

$(FUZZ_OBJECTS): $(BUILD)/tests/%.o: tests/fuzz/%.c $(FUZZ_SUPPORT) | $(BUILD)/tests
	$(TEST_C) -c -o $@ $<

$(BUILD)/tests/fuzz_%: tests/fuzz/fuzz_%.c $(FUZZ_OBJECTS) $(LIBRARY) $(FUZZ_SUPPORT)
	$(TEST_C) -o $@ $< $(FUZZ_OBJECTS) $(LIBRARY) -lm

$(BUILD)/tests/fuzz_cli: tests/fuzz/fuzz_cli.c $(BUILD)/tests/replay.o $(FUZZ_SUPPORT) $(wildcard examples/cli/*.[ch])
	$(TEST_C) $(ZLIB_FLAGS) -o $@ $< $(BUILD)/tests/replay.o -lm $(ZLIB_LIBS)

SCRIPTS_NEED = all lib $(BUILD)/npy_write $(BUILD)/zip_write $(BUILD)/bench/bench $(BUILD)/bench/migration $(BUILD)/emulated_cuda_graph
RUN_TESTS    = CC="$(CC)" CXX="$(CXX)" CFLAGS="$(CFLAGS)" RUN_ENV="$(RUN_ENV)" HAVE_MPI="$(HAVE_MPI)" MPIRUN="$(MPIRUN)" sh tests/run.sh $(BUILD)

test: $(TESTS) $(SCRIPTS_NEED)
	$(RUN_TESTS) $(TESTS)

# What no other gate of the sanitizers runs: the scripts, and with them all programs. The kernels have a gate, the corpora are
# replayed by the fuzzers, and three copies of the library beside each other are for those gates that link them.
TESTS_ELSE = $(BUILD)/tests/test_emulated
test-programs: $(TESTS_ELSE) $(filter-out $(BUILD)/emulated_cuda_graph,$(SCRIPTS_NEED))
	$(RUN_TESTS) $(TESTS_ELSE)

$(BUILD)/npy_write: tests/support/npy_write.c | $(BUILD)
	$(C) -o $@ $<

$(BUILD)/zip_write: tests/support/zip_write.c | $(BUILD)
	$(C) -o $@ $<

# One line for each gate; those whose tools are missing are skipped, counted and named.
check:
	@BUILD=$(BUILD) sh tests/check/run.sh warnings linkage symbols freestanding

check-all:
	@BUILD=$(BUILD) sh tests/check/run.sh

# What tests/README.md says of code, stack and scratch on small machines.
sizes: export SIZES = all
sizes: check-freestanding-sizes
	@cat $(BUILD)/check/freestanding-sizes/log

# Lays all C out as .clang-format says; the gate analyse-format holds it.
format:
	clang-format -i eplb.h eplb_cuda.h eplb_cuda.cu $$(find examples tests -name '*.[ch]' -o -name '*.cpp' -o -name '*.cu')

check-%:
	@BUILD=$(BUILD) sh tests/check/run.sh $*

# ---------------------------------------------------------------- benchmark

# Each file knows its flags, as a string.
c_string = '"$(subst ','\'',$(subst ",\",$(subst \,\\,$(1))))"'

$(BUILD)/bench/baseline.o: tests/bench/baseline.cpp tests/bench/baseline.h | $(BUILD)/bench
	$(CPP) -DBENCH_FLAGS=$(call c_string,-std=c++11 $(CXXFLAGS)) -c -o $@ $<

$(BUILD)/bench/%.o: tests/bench/%.c tests/bench/bench.h tests/bench/baseline.h eplb.h | $(BUILD)/bench
	$(C) -DBENCH_FLAGS=$(call c_string,-std=c99 $(CFLAGS)) -c -o $@ $<

$(BUILD)/bench/against.o: tests/bench/side.h

$(BUILD)/bench/bench: $(patsubst %,$(BUILD)/bench/%.o,bench heading common stages fits torch against shares transfers baseline)
	$(CXX) $(CXXFLAGS) -o $@ $^ -lm -ldl

MIGRATION = migration curve service rows traffic plot
$(patsubst %,$(BUILD)/bench/%.o,$(MIGRATION)): tests/bench/migration.h

$(BUILD)/bench/migration: $(patsubst %,$(BUILD)/bench/%.o,$(MIGRATION) common heading baseline)
	$(CXX) $(CXXFLAGS) -o $@ $^ -lm

bench: $(BUILD)/bench/bench
	$(BUILD)/bench/bench

bench-migration: $(BUILD)/bench/migration
	$(BUILD)/bench/migration curve $(if $(TRACE),--trace "$(TRACE)") --csv $(BUILD)/migration_curve.csv \
	    --svg $(BUILD)/migration_curve.svg
	$(BUILD)/bench/migration service --csv $(BUILD)/migration_service.csv

bench-against: $(BUILD)/bench/bench
	@test -n '$(OTHER)' || { echo 'bench-against: which header? OTHER=PATH says it'; exit 1; }
	CC="$(CC)" $(BUILD)/bench/bench --against "$(OTHER)"

bench-torch: $(BUILD)/bench/bench
	PYTHON="$(PYTHON)" $(BUILD)/bench/bench --torch

RANKS ?= 1 2 4
bench-ranks: $(MPI_EXAMPLE)
	@test -n '$(MPI_EXAMPLE)' || { echo 'bench-ranks: there is no $(MPICC) that makes programs'; exit 1; }
	MPIRUN="$(MPIRUN)" sh tests/bench/ranks.sh $(MPI_EXAMPLE) $(RANKS)

bench-vllm: lib
	@test -n '$(WHEEL)' || { echo 'bench-vllm: which package? WHEEL=PATH says it'; exit 1; }
	$(PYTHON) tests/bench/engine_vllm.py $(BUILD)/libeplb.so "$(WHEEL)"

# ---------------------------------------------------------------- CUDA

# Code for each architecture, and PTX of the last for those to come.
CUDA_CODE := $(foreach a,$(CUDA_ARCHS),-gencode arch=compute_$a,code=sm_$a) \
             -gencode arch=compute_$(lastword $(CUDA_ARCHS)),code=compute_$(lastword $(CUDA_ARCHS))
CUDA      = $(NVCC) -std=c++17 -O2 -I. -Xcompiler -Wall,-Wextra $(if $(WERROR),-Werror all-warnings -Xcompiler -Werror) \
            $(CUDA_CODE)
CUDA_LIB  := $(BUILD)/cuda/libeplb_cuda.a
CUDA_ALL  := $(CUDA_LIB) $(BUILD)/cuda/eplb_cuda.ptx $(BUILD)/cuda/test_cuda $(BUILD)/cuda/test_cuda_share \
             $(BUILD)/cuda/test_cuda_alone $(BUILD)/cuda/cuda_graph $(BUILD)/cuda/bench_cuda

ifneq ($(shell command -v $(NVCC)),)
cuda: $(CUDA_ALL)
	sh tests/check/ptx.sh $(BUILD)/cuda
else
cuda:
	@echo "cuda: skipped, there is no $(NVCC)"
endif

test-cuda: cuda
	$(BUILD)/cuda/test_cuda
	$(BUILD)/cuda/test_cuda_share
	$(BUILD)/cuda/test_cuda_alone
	$(BUILD)/cuda/cuda_graph

# Both plan the same loads; without PyTorch the library is timed alone.
bench-cuda: cuda
	$(BUILD)/cuda/bench_cuda --write $(BUILD)/cuda
	if $(PYTHON) -c 'import numpy, torch' 2>/dev/null; then $(PYTHON) tests/bench/pytorch_gpu.py $(BUILD)/cuda; \
	else echo 'PyTorch: skipped, $(PYTHON) has none'; fi

# Counted on the emulation. What stands in the table of version 0.1 is the output of make chains REVISION=6e623f5.
bench-cuda-emulated: $(BUILD)/bench/chains
	$(BUILD)/bench/chains --beside tests/bench/chains_0.1.txt

CHAINS = tests/bench/chains.cpp $(BUILD)/tests/emulated_runtime.o
# As nvcc is made of it, clang's basic blocks are nearer to a GPU's.
STEPS  = $(subst $(CXX) ,$(shell command -v clang++ || echo $(CXX)) ,$(EMULATED)) -w -fsanitize-coverage=trace-pc

$(BUILD)/bench/chains: $(CHAINS) tests/bench/shapes.h eplb_cuda.cu eplb_cuda.h eplb.h | $(BUILD)/bench
	$(STEPS) -c -o $@.o -x c++ eplb_cuda.cu
	$(EMULATED) -o $@ $(CHAINS) $@.o

OTHERS = $(BUILD)/chains/$(REVISION)
chains: $(BUILD)/tests/emulated_runtime.o
	@test -n '$(REVISION)' || { echo 'chains: of which REVISION?'; exit 1; }
	@mkdir -p $(OTHERS) && for file in eplb.h eplb_cuda.h eplb_cuda.cu; do \
	    git show $(REVISION):$$file > $(OTHERS)/$$file || exit 1; done
	@$(subst -I. ,-I$(OTHERS) ,$(STEPS)) -c -o $(OTHERS)/eplb_cuda.o -x c++ $(OTHERS)/eplb_cuda.cu
	@$(subst -I. ,-I$(OTHERS) ,$(EMULATED)) -w -o $(OTHERS)/chains $(CHAINS) $(OTHERS)/eplb_cuda.o
	@$(OTHERS)/chains

$(BUILD)/cuda:
	mkdir -p $@

$(BUILD)/cuda/eplb_cuda.o: eplb_cuda.cu eplb_cuda.h eplb.h | $(BUILD)/cuda
	rm -rf $(BUILD)/cuda/kept && mkdir $(BUILD)/cuda/kept
	$(CUDA) --keep --keep-dir $(BUILD)/cuda/kept -Xptxas -v -c -o $@ $< 2> $(BUILD)/cuda/ptxas.log || \
	    { cat $(BUILD)/cuda/ptxas.log; exit 1; }

$(CUDA_LIB): $(BUILD)/cuda/eplb_cuda.o
	rm -f $@ && ar rcs $@ $<

# What came of it on the way to the last architecture's code: nvcc names it after that where there are several.
$(BUILD)/cuda/eplb_cuda.ptx: $(BUILD)/cuda/eplb_cuda.o
	cp $(BUILD)/cuda/kept/eplb_cuda.$(if $(word 2,$(CUDA_ARCHS)),compute_$(lastword $(CUDA_ARCHS)).)ptx $@

$(BUILD)/cuda/test_cuda $(BUILD)/cuda/test_cuda_share $(BUILD)/cuda/test_cuda_alone: $(BUILD)/cuda/%: tests/%.cpp $(CUDA_LIB) $(LIBRARY) $(SUPPORT)
	$(CUDA) -Itests/support -o $@ $< $(CUDA_LIB) $(LIBRARY)

$(BUILD)/cuda/cuda_graph: examples/cuda_graph.cu $(CUDA_LIB)
	$(CUDA) -o $@ $< $(CUDA_LIB)

$(BUILD)/cuda/bench_cuda: tests/bench/bench_cuda.cu tests/bench/shapes.h $(CUDA_LIB)
	$(CUDA) -o $@ $< $(CUDA_LIB)

# ---------------------------------------------------------------- install

# What is installed, and goes again; folders that others may use stay.
ROOT      = $(DESTDIR)$(PREFIX)
CMAKE_TO  = $(ROOT)/lib/cmake/eplb
INSTALLED = '$(ROOT)/include/eplb.h' '$(ROOT)/include/eplb_cuda.h' '$(ROOT)/include/eplb_cuda.cu' \
            '$(ROOT)/lib/pkgconfig/eplb.pc' '$(CMAKE_TO)/eplbConfig.cmake' '$(CMAKE_TO)/eplbConfigVersion.cmake'

install:
	@case '$(PREFIX)' in /*) ;; *) echo 'install: PREFIX has to begin with /'; exit 1 ;; esac
	install -d '$(ROOT)/include' '$(ROOT)/lib/pkgconfig' '$(CMAKE_TO)'
	install -m 644 eplb.h eplb_cuda.h eplb_cuda.cu '$(ROOT)/include'
	install -m 644 examples/cmake/eplbConfig.cmake examples/cmake/eplbConfigVersion.cmake '$(CMAKE_TO)'
	printf '%s\n' 'prefix=$(PREFIX)' 'includedir=$${prefix}/include' 'cuda_source=$${includedir}/eplb_cuda.cu' '' \
	    'Name: eplb' 'Description: Expert-parallelism load balancer in one C header' 'Version: $(VERSION)' \
	    'Cflags: -I$${includedir}' > '$(ROOT)/lib/pkgconfig/eplb.pc'
	chmod 644 '$(ROOT)/lib/pkgconfig/eplb.pc'

uninstall:
	rm -f $(INSTALLED)
	rmdir '$(CMAKE_TO)' 2>/dev/null || true

# The files that git knows, or where there is no repository, all that lie here, as of the commit's time, or the time that
# the archive gave them: the same bytes, whenever and by whom they are packed. It takes GNU's tar.
DIST := $(BUILD)/eplb-$(VERSION).tar.gz
dist: | $(BUILD)
	if [ -e .git ]; then git ls-files; else find . -type f ! -path './build/*' ! -path './$(BUILD)/*' ! -name '*.pyc' | cut -c 3-; fi | \
	    LC_ALL=C sort > $(BUILD)/dist.files
	test -s $(BUILD)/dist.files
	epoch=$${SOURCE_DATE_EPOCH:-$$(if [ -e .git ]; then git log -1 --format=%ct; else date -r eplb.h +%s; fi)} && \
	    tar --format=ustar --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --mtime=@$$epoch --no-recursion \
	        --transform='s,^,eplb-$(VERSION)/,' -T $(BUILD)/dist.files -cf $(BUILD)/dist.tar
	gzip -9n < $(BUILD)/dist.tar > $(DIST)
	rm $(BUILD)/dist.files $(BUILD)/dist.tar
	cd $(BUILD) && sha256sum $(notdir $(DIST)) > $(notdir $(DIST)).sha256 && cat $(notdir $(DIST)).sha256

clean:
	rm -rf $(BUILD)

.PHONY: all lib run sample pictures test test-programs check check-all sizes bench bench-against bench-migration bench-torch bench-ranks bench-vllm cuda test-cuda bench-cuda bench-cuda-emulated chains \
        install uninstall dist clean
