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

# Sorted: the order of the files decides where the linker puts them, and make sorts a wildcard by the locale.
SOURCES   := $(sort $(wildcard proxy/*.c proxy/*/*.c config/*.c))
LIBRARY   := $(BUILD)/libhusk.a
OBJECTS   := $(SOURCES:%.c=$(BUILD)/obj/%.o)
MAIN      := $(BUILD)/obj/proxy/main.o
SUPPORT   := $(patsubst %.c,$(BUILD)/obj/%.o,$(filter-out %/clock_jump.c %/kill_at.c %/memory_dump.c %/token_module.c,$(wildcard tests/support/*.c)))
# ThreadSanitizer has nothing to say about a test of one thread.
UNITS     := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(if $(findstring thread,$(SANITIZE)),$(shell grep -lE 'thread|worker' tests/unit/test_*.c),$(wildcard tests/unit/test_*.c)))
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

# Reports of sanitizers need only lines and functions: -g1.
CFLAGS    ?= $(if $(SANITIZE),-O1 -g1,-O2 -g)
WARNINGS  := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wvla
ifeq ($(SANITIZE),)
CFI_FLAGS := -flto=thin -fvisibility=hidden -fsanitize=cfi
CFI       := $(if $(findstring clang,$(CC)),$(if $(call links,$(CFI_FLAGS) -fuse-ld=lld),$(CFI_FLAGS)))
# clang 14's jump tables for CFI and for -fcf-protection do not go together; the former checks more.
HARDENING := -D_FORTIFY_SOURCE=3 -fstack-protector-strong $(call supported,-fstack-clash-protection) \
             $(if $(CFI),,$(call supported,-fcf-protection=full) $(call supported,-mbranch-protection=standard))
else
# In the code that a sanitizer adds, gcc warns of missing values where no value is missing.
HARDENING := -DHUSK_SANITIZED -fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer $(call supported,-Wno-maybe-uninitialized)
CFI       :=
endif
HARDENING += -fPIE -fno-strict-overflow -fno-delete-null-pointer-checks
LINKING   := -pie $(if $(CFI),-fuse-ld=lld) -Wl,-z,relro,-z,now -Wl,-z,noexecstack -Wl,--as-needed $(if $(SANITIZE),-fsanitize=$(SANITIZE))
# Debug information has no path of the build folder, so the program is the same wherever it is built. These flags are
# not in ALL_CFLAGS, so that a copy of the tree does not compile everything again.
SAME_PATHS := -fdebug-prefix-map=$(CURDIR)=.
# libev's watcher macros cast between watcher types by design.
ALL_CFLAGS = -std=c17 -D_GNU_SOURCE -Iproxy -I. $(TLS_CFLAGS) $(PKCS11_CFLAGS) $(SPIFFE_CFLAGS) $(WARNINGS) -fno-strict-aliasing $(HARDENING) $(CFI) $(CFLAGS) -MMD -MP
# libev and http-parser have no file for pkg-config. Debian 12 has msgpack-c under the name msgpack.
packaged   = $(shell pkg-config --libs $(1) 2>/dev/null)
# Keys in PKCS#11 tokens, where p11-kit is installed: PKCS11= builds without them.
PKCS11    ?= $(call packaged,p11-kit-1)
PKCS11_CFLAGS := $(strip $(and $(PKCS11),-DHUSK_PKCS11 $(shell pkg-config --cflags p11-kit-1)))
# The Workload API of SPIFFE, where its libraries and the compiler of its message are: SPIFFE= builds without it.
SPIFFE    ?= $(and $(call packaged,libnghttp2 libprotobuf-c),$(shell command -v protoc-c))
GENERATED := $(BUILD)/generated
ifneq ($(SPIFFE),)
MESSAGE   := $(GENERATED)/workload.pb-c.c
SPIFFE_CFLAGS := -DHUSK_SPIFFE -isystem $(GENERATED)
SPIFFE_LIBS := $(call packaged,libnghttp2 libprotobuf-c)
endif
FORWARD_LIBS = $(or $(call packaged,msgpack-c),$(call packaged,msgpack)) $(call packaged,zlib libzstd)
PLAIN_LIBS = -lev -lhttp_parser $(call packaged,libcares yajl yaml-0.1) $(PKCS11) $(FORWARD_LIBS) $(SPIFFE_LIBS)
LIBS       = $(TLS_LIBS) $(PLAIN_LIBS) -lpthread
# The archive keeps bitcode when CFI wants link-time optimisation.
AR_TOOL   := $(if $(CFI),$(firstword $(shell command -v llvm-ar llvm-ar-14 llvm-ar-16 llvm-ar-19)),$(AR))

# ---- targets -----------------------------------------------------------------------------------------------

# Short lines; V=1 shows the commands.
run = $(if $(V),,@echo '  $(1)';)

.PHONY: all help deps tool-deps test-deps lint-deps bench-deps run install install-program documents clean compile_commands
.PHONY: test unit unit-programs scenario scenario-plain tests-around tests-k8s coverage endurance release-check replay replay-programs fuzz peers
.PHONY: dist deb sbom image static static-refused
.PHONY: bench bench-micro bench-strangers bench-programs lint format layers
all: $(BUILD)/husk

help:
	@sed -n 's/^#: //p' Makefile

#: make                     build build/husk (BORINGSSL=<prefix>, CC=clang, SANITIZE=address,undefined | thread)
$(BUILD)/husk: $(MAIN) $(LIBRARY)
	$(call run,LD $@) $(CC) $(ALL_CFLAGS) $(LINKING) $(LDFLAGS) -o $@ $^ $(LIBS)

$(LIBRARY): $(filter-out $(MAIN),$(OBJECTS)) $(MESSAGE:.c=.o)
	@rm -f $@
	$(call run,AR $@) $(AR_TOOL) rcs $@ $^

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call run,CC $@) $(CC) $(ALL_CFLAGS) $(SAME_PATHS) -c -o $@ $<

$(GENERATED)/%.pb-c.c $(GENERATED)/%.pb-c.h &: proxy/trust/%.proto
	@mkdir -p $(@D)
	$(call run,PROTOC $@) protoc-c -I$(<D) --c_out=$(@D) $(<F)

$(GENERATED)/%.o: $(GENERATED)/%.c $(BUILD)/flags
	$(call run,CC $@) $(CC) $(ALL_CFLAGS) $(SAME_PATHS) -c -o $@ $<

# The only file that includes the header.
$(BUILD)/obj/proxy/trust/svid.o: $(MESSAGE:.c=.h)

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
BUILD_DEPS := gcc libc6-dev pkg-config libev-dev libc-ares-dev libhttp-parser-dev libmsgpack-c-dev|libmsgpack-dev libyajl-dev libyaml-dev zlib1g-dev libzstd-dev libp11-kit-dev libnghttp2-dev libprotobuf-c-dev protobuf-c-compiler $(if $(BORINGSSL),g++,android-libboringssl-dev)
TEST_DEPS  := git g++ libcmocka-dev python3 python3-pytest python3-pytest-xdist python3-msgpack python3-fluent-logger python3-jsonschema python3-yaml python3-h2 yamllint mandoc zsh fish openssl ruby ruby-dev \
              golang-go golang-github-fluent-fluent-logger-golang-dev clang lld llvm procps iproute2 softhsm2 p11-kit p11-kit-modules
FUZZ_DEPS  := libclang-rt-dev
TOOL_DEPS  := python3 python3-yaml
# The version that Debian 12 and 13 both have: other versions format and judge otherwise.
LINT_DEPS  := clang-format-19 clang-tidy-19 cppcheck
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

# What the project's own tools need.
tool-deps:
	$(call install_packages,$(TOOL_DEPS),)

test-deps: deps
	$(call install_packages,$(TEST_DEPS) $(PACKAGE_DEPS),$(TEST_TOOLS))

lint-deps: deps
	$(call install_packages,$(LINT_DEPS),)

#: make run [SECONDS=5]     build, then show logs going through mutual TLS; Ctrl-C (or SECONDS) ends it
run: deps
	@$(MAKE) --no-print-directory -j$(shell nproc) build/husk
	@demo/run.sh build/husk "$(SECONDS)"

SHARE := $(DESTDIR)$(PREFIX)/share
# Debian has another folder for the functions that packages bring.
ZSH_FUNCTIONS ?= $(PREFIX)/share/zsh/site-functions

#: make install             install to $(DESTDIR)$(PREFIX): program, manual pages, completions, JSON Schema
install: install-program
	install -D -m 0644 -t "$(SHARE)/man/man1" docs/man/husk.1
	install -D -m 0644 -t "$(SHARE)/man/man5" docs/man/husk.yaml.5
	install -D -m 0644 completions/husk.bash "$(SHARE)/bash-completion/completions/husk"
	install -D -m 0644 -t "$(DESTDIR)$(ZSH_FUNCTIONS)" completions/_husk
	install -D -m 0644 -t "$(SHARE)/fish/vendor_completions.d" completions/husk.fish
	install -D -m 0644 -t "$(SHARE)/husk" docs/husk.schema.json docs/check.schema.json

# The container image contains nothing else.
install-program: $(BUILD)/husk
	install -D -m 0755 $(BUILD)/husk "$(DESTDIR)$(PREFIX)/bin/husk"

#: make documents           write what comes from the settings: tables, manual pages, completions, JSON Schema
documents: tool-deps $(BUILD)/husk
	$(PYTHON) docs/generate $(BUILD)/husk

# The dry run prints the commands that would build everything.
#: make compile_commands    write compile_commands.json, for clangd and other tools
compile_commands: tool-deps
	@$(MAKE) --no-print-directory -nB V=1 all unit-programs replay-programs bench-programs | \
	    $(PYTHON) tests/support/compile-commands '$(firstword $(CC))' >$@.json
	@echo "  WROTE $@.json"

#: make clean               remove build/
clean:
	rm -rf build

# ---- packages ----------------------------------------------------------------------------------------------

RELEASE      := husk-$(VERSION)
PACKAGE_DEPS := build-essential debhelper dpkg-dev lintian systemd
# The time in all that is packed: that of the commit, or of the last change where there is no git.
PACKAGE_TIME  = $(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md))

#: make dist                write the sources of HEAD to build/husk-VERSION.tar.gz: the same bytes each time
dist:
	@packages/source-archive $(RELEASE) build/$(RELEASE).tar.gz

#: make deb                 build the Debian package of HEAD into build/deb/, and check it with lintian
deb: deps dist
	$(call install_packages,$(PACKAGE_DEPS),)
	@packages/debian-package build/$(RELEASE).tar.gz build/deb

#: make sbom                list what the program consists of, in build/husk.spdx.json (SPDX 2.3)
sbom: $(BUILD)/husk tool-deps
	@packages/sbom --version $(VERSION) --time $(PACKAGE_TIME) $< $<.spdx.json

# A library as its archive, where there is one. yajl's archive has another name.
archive    = $(or $(filter /%,$(shell $(CC) -print-file-name=lib$(1).a)),-l$(1))
ARCHIVES   = $(foreach word,$(PLAIN_LIBS:-lyajl=-lyajl_s),$(if $(filter -l%,$(word)),$(call archive,$(word:-l%=%)),$(word)))

#: make static              link the archives of libraries into build/husk-static; with BORINGSSL=<prefix> PKCS11=: all of them
static: $(if $(and $(BORINGSSL),$(PKCS11)),static-refused,$(BUILD)/husk-static) tool-deps
	@packages/sbom --version $(VERSION) --time $(PACKAGE_TIME) $(patsubst %,--archive %,$(filter %.a,$(TLS_LIBS) $(ARCHIVES))) \
	    $< $<.spdx.json

static-refused:
	@echo "make static: a program without shared libraries cannot load modules of tokens, and p11-kit has no archive: add PKCS11=" >&2
	@exit 1

$(BUILD)/husk-static: $(MAIN) $(LIBRARY)
	$(call run,LD $@) $(CC) $(ALL_CFLAGS) $(if $(BORINGSSL),$(LINKING:-pie=-static-pie),$(LINKING)) $(LDFLAGS) -o $@ $^ \
	    $(TLS_LIBS) $(ARCHIVES) -lpthread -lm

#: make image               write the container image to build/husk-VERSION-image.tar (OCI layout); needs no engine
image: $(BUILD)/husk tool-deps
	@rm -rf $(BUILD)/image
	@k8s/image/rootfs.sh $< $(BUILD)/image
	@packages/oci-image --root $(BUILD)/image --dockerfile k8s/image/Dockerfile --name husk:$(VERSION) \
	    --time $(PACKAGE_TIME) $(BUILD)/$(RELEASE)-image.tar

# ---- tests -------------------------------------------------------------------------------------------------

# Python keeps compiled modules outside of the source tree. All processes of pytest use them.
export PYTHONPYCACHEPREFIX := $(CURDIR)/build/pycache
QUIET  := --no-print-directory -j$(shell nproc)
PYTEST := $(PYTHON) -m pytest -q -p no:cacheprovider

#: make test                install what tests need, run all of them, plain and under ASan+UBSan and TSan
test: test-deps
	@$(MAKE) --no-print-directory layers
	@$(MAKE) --no-print-directory peers
	@$(MAKE) $(QUIET) all unit-programs bench-programs && $(MAKE) $(QUIET) unit replay
	@$(MAKE) $(QUIET) all unit-programs SANITIZE=address,undefined && $(MAKE) $(QUIET) unit replay SANITIZE=address,undefined
	@$(MAKE) $(QUIET) all unit-programs SANITIZE=thread && $(MAKE) $(QUIET) unit SANITIZE=thread
	@$(MAKE) --no-print-directory -j2 --output-sync=target scenario-address-undefined scenario-thread
	@$(MAKE) --no-print-directory -j3 --output-sync=target scenario-plain tests-around tests-k8s

# These are about commands of one thread, which ThreadSanitizer has nothing to say about.
ONE_THREAD := $(wildcard $(addprefix tests/scenario/test_,pki*.py check*.py config.py send_receive.py usage.py))
scenario-thread: private EXCEPT := $(ONE_THREAD:%=--ignore=%)

# The tests wait more than they compute: two suites run at a time, and three tests of each.
scenario-%:
	HUSK_LIGHT=1 HUSK=build/$*/husk $(PYTEST) -n 3 $(EXCEPT) tests/scenario

scenario-plain:
	HUSK=build/husk $(PYTEST) -n 3 tests/scenario

# All tests of a file run in one process, because they share Fluentds and packages. The tests of packages begin first, because they
# take longest.
tests-around:
	HUSK=build/husk $(PYTEST) -n 2 --dist loadfile tests/packages tests/interop tests/bench tests/checks

# Not in a network of their own: the types of Kubernetes and a Helm are fetched once, from npm and RubyGems.
tests-k8s:
	HUSK=build/husk $(PYTEST) -n 2 --dist loadfile tests/k8s

unit-programs: $(UNITS)

# T names one test. Both suites take test_x, x and test_x.c or test_x.py; scenario also takes test_x.py::test_y.
T             :=
TEST_FILE     := $(T:%=test_$(patsubst test_%,%,$(basename $(firstword $(subst ::, ,$(T))))))
UNIT_PROGRAMS := $(if $(T),$(BUILD)/unit/$(TEST_FILE),$(UNITS))
SCENARIOS     := tests/scenario$(if $(T),/$(TEST_FILE).py$(if $(findstring ::,$(T)),::$(lastword $(subst ::, ,$(T)))))

#: make unit [T=name]       build and run the unit tests, or one (T=test_ack; SANITIZE=… as above)
unit: test-deps $(UNIT_PROGRAMS)
	@printf '%s\n' $(UNIT_PROGRAMS) | $(if $(SANITIZE),HUSK_LIGHT=1) xargs -P $(shell nproc) -I TEST sh -c \
	    'TEST >TEST.log 2>&1 || { cat TEST.log; exit 255; }; echo "  UNIT TEST: $$(grep PASSED TEST.log)"'

#: make scenario [T=name]   build husk and run the scenario tests, or one (T=test_tcp or T=test_tcp.py::test_x; SANITIZE=…)
scenario: test-deps $(BUILD)/husk
	$(if $(SANITIZE),HUSK_LIGHT=1) HUSK=$(BUILD)/husk $(PYTEST) '$(SCENARIOS)'

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

LONG := test_lifetime.py::test_rotation_under_traffic_loses_nothing \
        test_rotation.py::test_rotation_under_traffic_loses_nothing_and_mixes_nothing \
        test_config_reload.py::test_a_file_that_flips_under_load_loses_nothing \
        test_hot_restart.py::test_swaps_under_load_refuse_no_connection_and_lose_nothing

#: make endurance           under load: a minute of rotations, 1,000 reloads, 200 restarts (7 min)
endurance: test-deps
	@$(MAKE) $(QUIET) all
	HUSK_ROTATIONS=60 HUSK_ROTATION_SECONDS=1 HUSK_RELOADS=1000 HUSK_SWAPS=200 HUSK=$(BUILD)/husk \
	    $(PYTEST) -s $(LONG:%=tests/scenario/%)

SUITES ?= bookworm trixie

#: make release-check       run, test and deb in a bare Debian 12 and a bare Debian 13 (root, debootstrap; SUITES=trixie: one), and
#:                          the services of the package under the systemd of each (systemd-nspawn)
release-check:
	@for suite in $(SUITES); do \
	    tests/release/bare-debian $$suite "run SECONDS=5" test deb && tests/release/service $$suite || exit 1; \
	done

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
FUZZ_WITH := proxy/forward/*.c proxy/trust/*.c config/*.c proxy/options*.c proxy/control/grpc_call.c proxy/delivery/message_policy.c proxy/delivery/tag_text.c proxy/wire/address.c proxy/base/buffer.c proxy/base/clock.c proxy/base/end_reason.c proxy/base/event_fault.c proxy/base/fault.c proxy/base/hash.c proxy/base/log.c proxy/base/token_bucket.c proxy/base/utf8.c tests/support/scan_check.c tests/support/body_check.c tests/support/fields_check.c tests/support/batch_check.c proxy/base/regular_file.c

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
fuzz: test-deps $(MESSAGE)
	$(call install_packages,$(FUZZ_DEPS),)
	@for t in $(FUZZERS); do \
	    mkdir -p build/fuzz/$$t && \
	    clang -std=c17 -D_GNU_SOURCE -Iproxy -I. -Itests $(TLS_CFLAGS) $(SPIFFE_CFLAGS) -O1 -g -fsanitize=fuzzer,address,undefined \
	        -o build/fuzz/fuzz_$$t tests/fuzz/fuzz_$$t.c $(FUZZ_WITH) $(MESSAGE) $(LIBS) && \
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
bench-micro: deps $(MICROS)
	@for m in $(MICROS); do $$m || exit 1; done

#: make bench-strangers     time the messages of agents while strangers flood husk server (SECONDS=60 for each case, ROUNDS=1)
bench-strangers: deps tool-deps
	@$(MAKE) $(QUIET) all bench-programs
	$(PYTHON) bench/strangers.py --build $(BUILD) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(ROUNDS),--rounds $(ROUNDS))

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

# EnumCastOutOfRange: p11-kit combines values of an enum. TaintedAlloc: the check does not understand a limit for a count.
TIDY_CHECKS := -*,bugprone-*,clang-analyzer-*,-bugprone-easily-swappable-parameters,-bugprone-assignment-in-if-condition,-bugprone-macro-parentheses,-bugprone-multi-level-implicit-pointer-conversion,-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling,-clang-analyzer-optin.core.EnumCastOutOfRange,-clang-analyzer-optin.taint.TaintedAlloc
TIDY_CFLAGS  = -std=c17 -D_GNU_SOURCE -Iproxy -I. $(TLS_CFLAGS) $(PKCS11_CFLAGS) $(SPIFFE_CFLAGS) -DHUSK_VERSION=\"\" -DHUSK_BUILD_FLAGS=\"\"

#: make lint                layers, clang-format, cppcheck, clang-tidy
lint: lint-deps layers $(MESSAGE:.c=.h)
	@echo "  LINT clang-format"; clang-format-19 --dry-run --Werror $(C_FILES)
	@echo "  LINT cppcheck"; cppcheck -q --std=c11 --error-exitcode=1 --inline-suppr \
	    --enable=warning,performance,portability --suppress=missingIncludeSystem --suppress=ctuuninitvar \
	    $(addprefix --include=,$(firstword $(wildcard /usr/include/*/sys/queue.h /usr/include/sys/queue.h))) -Iproxy -I. $(SOURCES)
	@echo "  LINT clang-tidy"; printf '%s\n' $(SOURCES) | \
	    xargs -n 1 -P 2 sh -c 'clang-tidy-19 --quiet --warnings-as-errors="*" --checks="$(TIDY_CHECKS)" "$$1" -- $(TIDY_CFLAGS) 2>/dev/null' _

#: make format              rewrite the C files in the project's format
format: lint-deps
	@clang-format-19 -i $(C_FILES)

#: make layers              check layers, circles of includes, restricted headers, sizes (CONTRIBUTING.md)
layers: tool-deps
	@tests/support/check-layers
