# husk: build, install, run, test. `make help` lists the targets.

VERSION   := 0.1.0
PREFIX    ?= /usr/local
SANITIZE  ?=
BORINGSSL ?=

comma     := ,
BUILD     := build$(if $(SANITIZE),/$(subst $(comma),-,$(SANITIZE)))$(if $(findstring clang,$(CC)),/clang)$(if $(BORINGSSL),/boringssl)
PYTHON    := /usr/bin/python3
PEERS     := build/peers

# ---- what it is made of ------------------------------------------------------------------------------------

SOURCES   := $(wildcard proxy/*.c proxy/*/*.c config/*.c)
LIBRARY   := $(BUILD)/libhusk.a
OBJECTS   := $(SOURCES:%.c=$(BUILD)/obj/%.o)
MAIN      := $(BUILD)/obj/proxy/main.o
SUPPORT   := $(patsubst %.c,$(BUILD)/obj/%.o,$(filter-out %/clock_jump.c,$(wildcard tests/support/*.c)))
UNITS     := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))
C_FILES   := $(SOURCES) $(wildcard proxy/*.h proxy/*/*.h config/*.h tests/unit/*.[ch] tests/support/*.[ch] tests/fuzz/*.[ch] bench/*/*.[ch])

# ---- BoringSSL: Debian's package, or a prefix with include/, libssl.a and libcrypto.a ----------------------

MULTIARCH := $(shell $(CC) -print-multiarch 2>/dev/null)
ifeq ($(BORINGSSL),)
TLS_CFLAGS := -isystem /usr/include/android
TLS_LIBDIR := /usr/lib/$(MULTIARCH)/android
TLS_LIBS   := -L$(TLS_LIBDIR) -Wl,-rpath,$(TLS_LIBDIR) -lssl -lcrypto
else
TLS_CFLAGS := -isystem $(BORINGSSL)/include
TLS_LIBS   := $(foreach lib,libssl.a libcrypto.a,$(firstword $(wildcard $(BORINGSSL)/lib/$(lib) $(BORINGSSL)/$(lib)) $(BORINGSSL)/$(lib))) -lstdc++
endif

# ---- flags: strict, and hardened where the compiler can ----------------------------------------------------

supported  = $(shell $(CC) -Werror $(1) -x c -c /dev/null -o /dev/null 2>/dev/null && echo "$(1)")
links      = $(shell echo 'int main(void){return 0;}' | $(CC) $(1) -x c - -o /dev/null 2>/dev/null && echo "$(1)")

CFLAGS    ?= -O2 -g
WARNINGS  := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wvla
ifeq ($(SANITIZE),)
CFI_FLAGS := -flto=thin -fvisibility=hidden -fsanitize=cfi
CFI       := $(if $(findstring clang,$(CC)),$(if $(call links,$(CFI_FLAGS) -fuse-ld=lld),$(CFI_FLAGS)))
# clang 14's jump tables for CFI and for -fcf-protection do not go together; the former checks more.
HARDENING := -D_FORTIFY_SOURCE=3 -fstack-protector-strong $(call supported,-fstack-clash-protection) \
             $(if $(CFI),,$(call supported,-fcf-protection=full) $(call supported,-mbranch-protection=standard))
else
HARDENING := -fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer
CFI       :=
endif
HARDENING += -fPIE -fno-strict-overflow -fno-delete-null-pointer-checks
LINKING   := -pie $(if $(CFI),-fuse-ld=lld) -Wl,-z,relro,-z,now -Wl,-z,noexecstack -Wl,--as-needed $(if $(SANITIZE),-fsanitize=$(SANITIZE))
# libev's watcher macros cast between watcher types by design.
ALL_CFLAGS = -std=c17 -D_GNU_SOURCE -Iproxy -I. $(TLS_CFLAGS) $(WARNINGS) -fno-strict-aliasing $(HARDENING) $(CFI) $(CFLAGS) -MMD -MP
# libev and http-parser have no file for pkg-config. Debian 12 has msgpack-c under the name msgpack.
packaged   = $(shell pkg-config --libs $(1) 2>/dev/null)
FORWARD_LIBS = $(or $(call packaged,msgpack-c),$(call packaged,msgpack)) $(call packaged,zlib libzstd)
LIBS       = $(TLS_LIBS) -lev -lhttp_parser $(call packaged,libcares yajl yaml-0.1) $(FORWARD_LIBS) -lpthread
# The archive keeps bitcode when CFI wants link-time optimisation.
AR_TOOL   := $(if $(CFI),$(firstword $(shell command -v llvm-ar llvm-ar-14 llvm-ar-16 llvm-ar-19)),$(AR))

# ---- targets -----------------------------------------------------------------------------------------------

# Short lines; V=1 shows the commands.
run = $(if $(V),,@echo '  $(1)';)

.PHONY: all help deps test-deps bench-deps run install install-program documents clean compile_commands
.PHONY: test unit unit-programs scenario coverage release-check replay replay-programs fuzz peers
.PHONY: bench bench-micro bench-programs lint format layers
all: $(BUILD)/husk

help:
	@sed -n 's/^#: //p' Makefile

#: make                     build build/husk (BORINGSSL=<prefix>, CC=clang, SANITIZE=address,undefined | thread)
$(BUILD)/husk: $(MAIN) $(LIBRARY)
	$(call run,LD $@) $(CC) $(ALL_CFLAGS) $(LINKING) $(LDFLAGS) -o $@ $^ $(LIBS)

$(LIBRARY): $(filter-out $(MAIN),$(OBJECTS))
	@rm -f $@
	$(call run,AR $@) $(AR_TOOL) rcs $@ $^

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call run,CC $@) $(CC) $(ALL_CFLAGS) -c -o $@ $<

# The scanner reads every byte of every record.
$(filter $(BUILD)/obj/proxy/forward/scanner%.o,$(OBJECTS)): private ALL_CFLAGS += $(if $(SANITIZE),,-O3)
$(BUILD)/obj/proxy/main.o $(BUILD)/obj/proxy/run_command.o: private ALL_CFLAGS += -DHUSK_VERSION='"$(VERSION)"'
$(BUILD)/obj/proxy/main.o: private ALL_CFLAGS += -DHUSK_BUILD_FLAGS='"$(strip $(CFLAGS) $(if $(SANITIZE),-fsanitize=$(SANITIZE)) $(CFI))"'

$(BUILD)/unit/%: tests/unit/%.c $(SUPPORT) $(LIBRARY) $(BUILD)/flags
	@mkdir -p $(@D)
	$(call run,LD $@) $(CC) $(ALL_CFLAGS) -Itests $(LINKING) $(LDFLAGS) -o $@ $< $(SUPPORT) $(LIBRARY) $(LIBS) -lcmocka

$(SUPPORT): private ALL_CFLAGS += -Itests

# Rebuilds everything when the flags change.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(VERSION) $(CC) $(ALL_CFLAGS)' | cmp -s - $@ || echo '$(VERSION) $(CC) $(ALL_CFLAGS)' > $@
.PHONY: FORCE

-include $(OBJECTS:.o=.d) $(SUPPORT:.o=.d) $(UNITS:=.d)

# ---- what it needs from the system -------------------------------------------------------------------------

# a|b: either of them.
BUILD_DEPS := gcc libc6-dev pkg-config libev-dev libc-ares-dev libhttp-parser-dev libmsgpack-c-dev|libmsgpack-dev libyajl-dev libyaml-dev zlib1g-dev libzstd-dev $(if $(BORINGSSL),g++,android-libboringssl-dev)
TEST_DEPS  := g++ libcmocka-dev python3 python3-pytest python3-pytest-xdist python3-msgpack python3-fluent-logger python3-jsonschema python3-yaml yamllint mandoc zsh fish openssl ruby ruby-dev \
              golang-go golang-github-fluent-fluent-logger-golang-dev clang clang-tidy clang-format lld llvm cppcheck procps iproute2
FUZZ_DEPS  := libclang-rt-dev
BENCH_DEPS := stunnel4 haproxy nginx-light libnginx-mod-stream hitch python3-matplotlib
# Installed under their own names where the command is missing: other packagings of them are as good.
TEST_TOOLS := node:nodejs npm:npm kubectl:kubernetes-client

missing     = $(shell for p in $(foreach p,$(1),'$(p)'); do \
                  dpkg-query -W -f='$${Status}\n' $$(echo "$$p" | tr '|' ' ') 2>/dev/null | grep -q ' installed' || echo "$$p"; done)
missing_cmd = $(foreach pair,$(1),$(shell command -v $(firstword $(subst :, ,$(pair))) >/dev/null || echo $(lastword $(subst :, ,$(pair)))))

define install_packages
	@if ! command -v apt-get >/dev/null; then \
	    echo "husk needs these (Debian names), please install them: $(1) $(2)"; \
	    exit 1; fi
	@set -e; want="$(call missing,$(1)) $(call missing_cmd,$(2))"; set -- $$want; \
	if [ $$# -gt 0 ]; then \
	    echo "installing: $$*"; \
	    sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	    $$sudo apt-get update -qq; \
	    DEBIAN_FRONTEND=noninteractive $$sudo apt-get satisfy -y -qq --no-install-recommends \
	        "$$(echo "$$@" | sed 's/ /, /g; s/|/ | /g')" >/dev/null; \
	fi
endef

#: make deps                install what the build needs (apt)
deps:
	$(call install_packages,$(BUILD_DEPS),)

test-deps: deps
	$(call install_packages,$(TEST_DEPS),$(TEST_TOOLS))

#: make run [SECONDS=5]     build, then show logs going through mutual TLS; Ctrl-C (or SECONDS) ends it
run: deps
	@$(MAKE) --no-print-directory -j$(shell nproc) build/husk
	@demo/run.sh build/husk "$(SECONDS)"

SHARE := $(DESTDIR)$(PREFIX)/share

#: make install             install to $(DESTDIR)$(PREFIX): program, manual pages, completions, JSON Schema
install: install-program
	install -D -m 0644 -t "$(SHARE)/man/man1" docs/man/husk.1
	install -D -m 0644 -t "$(SHARE)/man/man5" docs/man/husk.yaml.5
	install -D -m 0644 completions/husk.bash "$(SHARE)/bash-completion/completions/husk"
	install -D -m 0644 -t "$(SHARE)/zsh/site-functions" completions/_husk
	install -D -m 0644 -t "$(SHARE)/fish/vendor_completions.d" completions/husk.fish
	install -D -m 0644 -t "$(SHARE)/husk" docs/husk.schema.json

# The container image contains nothing else.
install-program: $(BUILD)/husk
	install -D -m 0755 $(BUILD)/husk "$(DESTDIR)$(PREFIX)/bin/husk"

#: make documents           write what comes from the settings: tables, manual pages, completions, JSON Schema
documents: $(BUILD)/husk
	$(PYTHON) docs/generate $(BUILD)/husk

# The dry run prints the commands that would build everything.
#: make compile_commands    write compile_commands.json, for clangd and other tools
compile_commands:
	@$(MAKE) --no-print-directory -nB V=1 all unit-programs replay-programs bench-programs | \
	    $(PYTHON) tests/support/compile-commands '$(firstword $(CC))' >$@.json
	@echo "  WROTE $@.json"

#: make clean               remove build/
clean:
	rm -rf build

# ---- tests -------------------------------------------------------------------------------------------------

export PYTHONDONTWRITEBYTECODE := 1
QUIET  := --no-print-directory -j$(shell nproc)
PYTEST := $(PYTHON) -m pytest -q -p no:cacheprovider

#: make test                install what tests need, run all of them, plain and under ASan+UBSan and TSan
test: test-deps
	@$(MAKE) --no-print-directory layers
	@$(MAKE) --no-print-directory peers
	@$(MAKE) $(QUIET) all unit-programs bench-programs && $(MAKE) $(QUIET) unit replay
	@for s in address,undefined thread; do \
	    $(MAKE) $(QUIET) all unit-programs SANITIZE=$$s && $(MAKE) $(QUIET) unit replay SANITIZE=$$s || exit 1; \
	done
	@$(MAKE) --no-print-directory -j2 --output-sync=target scenario-address-undefined scenario-thread
	HUSK=build/husk $(PYTEST) -n 3 tests/scenario
	HUSK=build/husk $(PYTEST) tests/interop tests/k8s tests/bench tests/checks

# The tests wait more than they compute: two suites run at a time, and two tests of each.
scenario-%:
	HUSK_LIGHT=1 HUSK=build/$*/husk $(PYTEST) -n 2 tests/scenario

unit-programs: $(UNITS)

# T names one test. Both suites take test_x, x and test_x.c or test_x.py; scenario also takes test_x.py::test_y.
T             :=
TEST_FILE     := $(T:%=test_$(patsubst test_%,%,$(basename $(firstword $(subst ::, ,$(T))))))
UNIT_PROGRAMS := $(if $(T),$(BUILD)/unit/$(TEST_FILE),$(UNITS))
SCENARIOS     := tests/scenario$(if $(T),/$(TEST_FILE).py$(if $(findstring ::,$(T)),::$(lastword $(subst ::, ,$(T)))))

#: make unit [T=name]       build and run the unit tests, or one (T=test_ack; SANITIZE=… as above)
unit: $(UNIT_PROGRAMS)
	@for t in $^; do \
	    $(if $(SANITIZE),HUSK_LIGHT=1) $$t >$$t.log 2>&1 || { cat $$t.log; exit 1; }; \
	    echo "  UNIT $$t: $$(grep PASSED $$t.log)"; \
	done

#: make scenario [T=name]   build husk and run the scenario tests, or one (T=test_tcp or T=test_tcp.py::test_x; SANITIZE=…)
scenario: $(BUILD)/husk
	$(if $(SANITIZE),HUSK_LIGHT=1) HUSK=$< $(PYTEST) '$(SCENARIOS)'

# The programs of a build of its own count lines; -O1 keeps lines apart and satisfies _FORTIFY_SOURCE.
COVERAGE := BUILD=build/coverage CC=gcc CFLAGS='-O1 -g --coverage -fprofile-update=atomic'
# With T: the suites that have a test of this name.
COVERED  := $(if $(T),$(if $(wildcard tests/unit/$(TEST_FILE).c),unit) $(if $(wildcard tests/scenario/$(TEST_FILE).py),scenario),unit scenario)

#: make coverage [T=name]   lines run by the unit and scenario tests, or by those named T → build/coverage/summary.txt
coverage: test-deps
	$(if $(strip $(COVERED)),,$(error no unit or scenario test is named $(TEST_FILE)))
	@$(MAKE) $(QUIET) $(COVERAGE) T= all unit-programs
	@find build/coverage -name '*.gcda' -delete
	@for suite in $(COVERED); do HUSK_LIGHT=1 $(MAKE) --no-print-directory $(COVERAGE) $$suite || exit 1; done
	@find build/coverage/obj/proxy build/coverage/obj/config -name '*.gcno' | $(PYTHON) tests/support/coverage-summary | tee build/coverage/summary.txt

SUITES ?= bookworm trixie

#: make release-check       run and test in a bare Debian 12 and a bare Debian 13 (root, debootstrap; SUITES=trixie: one)
release-check:
	@for suite in $(SUITES); do tests/release/bare-debian $$suite "run SECONDS=5" test || exit 1; done

# Real agents and aggregators, for tests/interop and tests/k8s.
peers: test-deps
	@tests/interop/install-peers $(PEERS)
	@$(MAKE) --no-print-directory build/agent_go build/verify_go

# From Debian's packages alone: no module is fetched.
build/agent_go build/verify_go: build/%: tests/interop/%.go
	@mkdir -p $(@D)
	$(call run,GO $@) GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE=$(CURDIR)/build/go-cache go build -o $@ $<

# ---- fuzzing ---------------------------------------------------------------------------------------------

FUZZERS   := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_WITH := proxy/forward/*.c proxy/trust/*.c config/*.c proxy/options*.c proxy/delivery/message_policy.c proxy/delivery/tag_text.c proxy/wire/address.c proxy/base/buffer.c proxy/base/clock.c proxy/base/end_reason.c proxy/base/event_fault.c proxy/base/fault.c proxy/base/hash.c proxy/base/log.c proxy/base/token_bucket.c proxy/base/utf8.c tests/support/scan_check.c tests/support/body_check.c tests/support/batch_check.c

replay-programs: $(FUZZERS:%=$(BUILD)/fuzz/replay_%)

# Runs every input of the corpora once.
replay: replay-programs
	@for t in $(FUZZERS); do \
	    $(BUILD)/fuzz/replay_$$t tests/fuzz/corpus/$$t/* >$(BUILD)/fuzz/$$t.log 2>&1 || { cat $(BUILD)/fuzz/$$t.log; exit 1; }; \
	    echo "  REPLAY $$t: $$(ls tests/fuzz/corpus/$$t | wc -l) inputs"; \
	done

$(BUILD)/fuzz/replay_%: tests/fuzz/fuzz_%.c tests/fuzz/replay.c $(SUPPORT) $(LIBRARY)
	@mkdir -p $(@D)
	$(call run,LD $@) $(CC) $(ALL_CFLAGS) -Itests $(LINKING) -o $@ $< tests/fuzz/replay.c $(SUPPORT) $(LIBRARY) $(LIBS) -lcmocka

#: make fuzz [MINUTES=1]    let libFuzzer search with each target for so long (clang)
MINUTES ?= 1
fuzz: test-deps
	$(call install_packages,$(FUZZ_DEPS),)
	@for t in $(FUZZERS); do \
	    mkdir -p build/fuzz/$$t && \
	    clang -std=c17 -D_GNU_SOURCE -Iproxy -I. -Itests $(TLS_CFLAGS) -O1 -g -fsanitize=fuzzer,address,undefined \
	        -o build/fuzz/fuzz_$$t tests/fuzz/fuzz_$$t.c $(FUZZ_WITH) $(LIBS) && \
	    build/fuzz/fuzz_$$t -max_total_time=$$(( $(MINUTES) * 60 )) -print_final_stats=1 build/fuzz/$$t tests/fuzz/corpus/$$t || exit 1; \
	done

# ---- benchmarks ------------------------------------------------------------------------------------------

LOAD_SHARED := bench/load/load.c bench/load/messages.c bench/load/connections.c
LOADS       := $(patsubst bench/load/%.c,$(BUILD)/bench/load/%,$(filter-out $(LOAD_SHARED),$(wildcard bench/load/*.c)))
MICROS      := $(patsubst bench/micro/%.c,$(BUILD)/bench/micro/%,$(wildcard bench/micro/*.c))
OUT         ?= docs/benchmarks

#: make bench               measure husk beside its peers into OUT=docs/benchmarks (QUICK=1: under 3 minutes)
bench: bench-deps
	@$(MAKE) $(QUIET) all bench-programs
	$(PYTHON) bench/run.py --build $(BUILD) --out $(OUT) $(if $(QUICK),--quick)

#: make bench-micro         time what is worth timing on its own
bench-micro: $(MICROS)
	@for m in $^; do $$m || exit 1; done

bench-programs: $(LOADS) $(MICROS)

# Debian starts some of them as services where it can; RUNLEVEL=1 asks it not to. If one runs all the same, it
# is idle, on ports of its own, and nobody measures or stops it.
bench-deps: export RUNLEVEL := 1
bench-deps: deps
	$(call install_packages,$(BENCH_DEPS),)

$(BUILD)/bench/load/%: bench/load/%.c $(LOAD_SHARED) $(wildcard bench/load/*.h) $(LIBRARY) $(BUILD)/flags
	@mkdir -p $(@D)
	$(call run,LD $@) $(CC) $(filter-out -MMD -MP,$(ALL_CFLAGS)) -Ibench $(LINKING) -o $@ $< $(LOAD_SHARED) $(LIBRARY) $(LIBS) -lm

$(BUILD)/bench/micro/%: bench/micro/%.c $(LIBRARY) $(BUILD)/flags
	@mkdir -p $(@D)
	$(call run,LD $@) $(CC) $(ALL_CFLAGS) -Ibench $(LINKING) -o $@ $< $(LIBRARY) $(LIBS)

-include $(MICROS:=.d)

# ---- lint --------------------------------------------------------------------------------------------------

TIDY_CHECKS := -*,bugprone-*,clang-analyzer-*,-bugprone-easily-swappable-parameters,-bugprone-assignment-in-if-condition,-bugprone-macro-parentheses,-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling
TIDY_CFLAGS  = -std=c17 -D_GNU_SOURCE -Iproxy -I. $(TLS_CFLAGS) -DHUSK_VERSION=\"\" -DHUSK_BUILD_FLAGS=\"\"

#: make lint                layers, clang-format, cppcheck, clang-tidy
lint: test-deps layers
	@echo "  LINT clang-format"; clang-format --dry-run --Werror $(C_FILES)
	@echo "  LINT cppcheck"; cppcheck -q --std=c11 --error-exitcode=1 --inline-suppr \
	    --enable=warning,performance,portability --suppress=missingIncludeSystem --suppress=ctuuninitvar \
	    $(addprefix --include=,$(firstword $(wildcard /usr/include/*/sys/queue.h /usr/include/sys/queue.h))) -Iproxy -I. $(SOURCES)
	@echo "  LINT clang-tidy"; printf '%s\n' $(SOURCES) | \
	    xargs -n 1 -P 2 sh -c 'clang-tidy --quiet --warnings-as-errors="*" --checks="$(TIDY_CHECKS)" "$$1" -- $(TIDY_CFLAGS) 2>/dev/null' _

#: make format              rewrite the C files in the project's format
format:
	@clang-format -i $(C_FILES)

#: make layers              check layers, circles of includes, restricted headers, sizes (CONTRIBUTING.md)
layers:
	@tests/support/check-layers
