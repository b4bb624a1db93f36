# Quoin: everything is built, run and tested from here.  `make help` lists the targets.
#
# The file is one flat graph without recursion.  Sources are found by wildcard, so a new file in a
# known folder needs no change here.  Everything made lands in build/.  Recipes are quiet; V=1 shows
# the commands.  A change of compiler or flags rebuilds what it concerns (see build/flags/).

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -ec
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := build

B := build

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-8s %s\n'
endif

# ---------------------------------------------------------------------------------------------------
# Packages: the only place where Debian packages needed on the host are named.
# What the guest is made of is fetched, unpacked and never installed: see GUEST_PACKAGES below.

HOST_PACKAGES := \
	clang lld llvm libclang-rt-14-dev ccache gcc libc6-dev musl-tools linux-libc-dev \
	gnu-efi gdisk mtools dosfstools xorriso python3 ca-certificates gdb \
	qemu-system-x86 ovmf bochs

# GRAPHIC=1 opens a window
ifeq ($(GRAPHIC),1)
HOST_PACKAGES += qemu-system-gui
endif

# make bench draws its plots with it
ifneq ($(filter bench,$(MAKECMDGOALS)),)
HOST_PACKAGES += gnuplot-nox
endif

# The guest's programs: fetched with apt-get download and unpacked, never installed on the host.
SMALL_PACKAGES := busybox-static
DEBIAN_PACKAGES := busybox-static bash coreutils dash grep sed gawk findutils tar gzip procps \
	python3-minimal tcc libc6-dev sqlite3 stress-ng diffutils less strace gdb-minimal numactl
# What these pull in that no program here needs (package scripts, mostly)
DEBIAN_UNWANTED := perl perl-base perl-modules-% libperl% usrmerge init-system-helpers libfile-% \
	libnumber-% libtext-% dpkg debconf apt base-passwd libkrb5-dev libdb% media-types
# The glyphs of the framebuffer console
FONT_PACKAGE := unifont
# The reference kernel of test/guest --linux
LINUX_PACKAGE := linux-image-amd64

PACKAGES_STAMP := $(B)/.packages-$(shell echo $(HOST_PACKAGES) | cksum | cut -d' ' -f1)

$(PACKAGES_STAMP):
	@mkdir -p $(B)
	@missing=; \
	if command -v dpkg-query >/dev/null; then \
		for p in $(HOST_PACKAGES); do \
			dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q ' installed$$' || \
				missing="$$missing $$p"; \
		done; \
	else \
		echo "Quoin is built with Debian's packages; this is another distribution."; \
		echo "Install what corresponds to these, then 'mkdir -p $(B); touch $@':"; \
		echo "  $(HOST_PACKAGES)"; exit 1; \
	fi; \
	if [ -n "$$missing" ]; then \
		. /etc/os-release; \
		case " $$ID $$ID_LIKE " in *" debian "*) ;; *) \
			echo "Not a Debian system.  Please install:$$missing"; exit 1;; esac; \
		sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
		echo "  APT      installing:$$missing"; \
		$$sudo apt-get update -q >$(B)/apt.log 2>&1 || { tail -5 $(B)/apt.log; exit 1; }; \
		$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y \
			--no-install-recommends $$missing >>$(B)/apt.log 2>&1 || \
			{ tail -20 $(B)/apt.log; echo "apt-get failed, see $(B)/apt.log"; exit 1; }; \
	fi
	@touch $@

.PHONY: packages
packages: $(PACKAGES_STAMP)

# ---------------------------------------------------------------------------------------------------
# Tools and flags

CCACHE = $(if $(NO_CCACHE),,$(shell command -v ccache))
KCC = $(CCACHE) clang
KLD = ld.lld

WARN := -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare \
	-Wstrict-prototypes -Wvla -Wimplicit-fallthrough
DEBUG_FLAGS := $(if $(filter 1,$(DEBUG)),-DDEBUG)

KFLAGS := --target=x86_64-unknown-none-elf -std=gnu2x -O2 -g -ffreestanding -fPIE -mcmodel=small \
	-fvisibility=hidden -mno-red-zone -mgeneral-regs-only -fno-stack-protector \
	-fno-omit-frame-pointer -fno-strict-aliasing -fwrapv -fno-delete-null-pointer-checks \
	-fno-asynchronous-unwind-tables -fno-common -fdirect-access-external-data \
	-D__KERNEL__ $(WARN) -Iinclude $(DEBUG_FLAGS) $(KFLAGS_EXTRA)
KLDFLAGS := -pie --no-dynamic-linker -z noexecstack -z max-page-size=4096 --build-id=none \
	-z separate-code -z norelro --no-undefined

EFIFLAGS := --target=x86_64-unknown-windows -std=gnu2x -O2 -ffreestanding -fshort-wchar \
	-mno-red-zone -mgeneral-regs-only -fno-stack-protector -fno-strict-aliasing -fwrapv \
	-mno-stack-arg-probe -D__EFI__ $(WARN) -Wno-strict-prototypes \
	-Iinclude -isystem /usr/include/efi -isystem /usr/include/efi/x86_64 $(DEBUG_FLAGS)
EFILDFLAGS := /nologo /subsystem:efi_application /entry:efi_main /nodefaultlib /dynamicbase \
	/nxcompat

# A flags file changes its time only when its text changes; objects depend on it.
$(B)/flags/%: FORCE
	@mkdir -p $(@D)
	@echo '$(flags_text)' | cmp -s - $@ || echo '$(flags_text)' >$@
$(B)/flags/kernel: flags_text = $(KFLAGS)
$(B)/flags/efi: flags_text = $(EFIFLAGS) $(EFILDFLAGS)
.PHONY: FORCE
FORCE:

# ---------------------------------------------------------------------------------------------------
# The kernel: build/kernel.elf

KSRC := $(wildcard kernel/*.c kernel/*/*.c mm/*.c sched/*.c loader/*.c test/kernel/*.c)
KASM := $(wildcard kernel/*.S kernel/*/*.S)
KOBJ := $(KSRC:%.c=$(B)/kernel/%.o) $(KASM:%.S=$(B)/kernel/%.S.o) $(B)/kernel/font.o
KLDS := kernel/x86/kernel.ld

$(B)/kernel/%.o: %.c $(B)/flags/kernel | $(PACKAGES_STAMP)
	$(say) CC $<
	@mkdir -p $(@D)
	$(Q)$(KCC) $(KFLAGS) -MMD -MP -c $< -o $@

$(B)/kernel/%.S.o: %.S $(B)/flags/kernel | $(PACKAGES_STAMP)
	$(say) AS $<
	@mkdir -p $(@D)
	$(Q)$(KCC) $(filter-out -std=%,$(KFLAGS)) -D__ASSEMBLER__ -MMD -MP -c $< -o $@

# The console's font, cut from a Debian package that is fetched and not installed.
$(B)/kernel/font.S: kernel/drivers/mkfont | $(PACKAGES_STAMP)
	$(say) FONT $@
	@mkdir -p $(@D)
	$(Q)kernel/drivers/mkfont $(B)/debs $(FONT_PACKAGE) >$@.tmp && mv $@.tmp $@

$(B)/kernel/font.o: $(B)/kernel/font.S
	$(Q)clang --target=x86_64-unknown-none-elf -c $< -o $@

# The vDSO: code for user space, linked by itself and embedded by kernel/proc/vdso_blob.S.
VDSOFLAGS := --target=x86_64-unknown-linux-gnu -std=gnu2x -O2 -fPIC -ffreestanding -mgeneral-regs-only \
	-fno-stack-protector -fvisibility=hidden -fasynchronous-unwind-tables -fomit-frame-pointer -fno-common
$(B)/vdso/vdso.so: kernel/proc/vdso/user.c kernel/proc/vdso/vdso.lds include/proc/vvar.h | $(PACKAGES_STAMP)
	$(say) VDSO $@
	@mkdir -p $(@D)
	$(Q)clang $(VDSOFLAGS) $(WARN) -c $< -o $(@D)/user.o
	$(Q)$(KLD) -shared -soname=linux-vdso.so.1 --hash-style=both -Bsymbolic --build-id=none \
		-z max-page-size=4096 -z noexecstack --no-undefined --eh-frame-hdr -T kernel/proc/vdso/vdso.lds $(@D)/user.o -o $@.tmp
	$(Q)llvm-strip --strip-all $@.tmp && mv $@.tmp $@
$(B)/kernel/kernel/proc/vdso_blob.S.o: $(B)/vdso/vdso.so

# What /proc/config.gz says.
$(B)/config.gz: kernel/fs/config.txt
	@mkdir -p $(@D)
	$(Q)gzip -9nc $< >$@.tmp && mv $@.tmp $@
$(B)/kernel/kernel/fs/config_blob.S.o: $(B)/config.gz

# Backtraces want names.  mksyms writes the sorted table of the functions of a linked image as
# assembly; the table goes into the image, so it is linked until the table no longer changes (the
# table is last in .rodata and moves no code, hence the second link is nearly always the last).
$(B)/kernel.elf: $(KOBJ) $(KLDS) kernel/base/mksyms
	$(say) LD $@
	$(Q)d=$(B)/kernel; \
	python3 kernel/base/mksyms >$$d/ksyms.S; \
	for pass in 1 2 3 4; do \
		clang --target=x86_64-unknown-none-elf -c $$d/ksyms.S -o $$d/ksyms.o; \
		$(KLD) $(KLDFLAGS) -T $(KLDS) $(KOBJ) $$d/ksyms.o -o $@.tmp; \
		python3 kernel/base/mksyms $@.tmp >$$d/ksyms.new; \
		if cmp -s $$d/ksyms.new $$d/ksyms.S; then mv $@.tmp $@; exit 0; fi; \
		mv $$d/ksyms.new $$d/ksyms.S; \
	done; \
	echo "mksyms: the symbol table does not settle" >&2; exit 1

# What the machine loads: no debug information (the table above stays), GDB uses kernel.elf.
$(B)/quoin.elf: $(B)/kernel.elf
	$(Q)llvm-strip --strip-all $< -o $@

-include $(KOBJ:.o=.d)

# ---------------------------------------------------------------------------------------------------
# The EFI application: build/efi/BOOTX64.EFI, straight to PE

# Pure kernel files the application shares with the kernel.
EFI_SHARED := $(wildcard kernel/lib/string.c)
EFISRC := $(wildcard efi/*.c loader/*.c) $(EFI_SHARED)
EFIASM := $(wildcard efi/*.S)
EFIOBJ := $(EFISRC:%.c=$(B)/efi/%.obj) $(EFIASM:%.S=$(B)/efi/%.S.obj)

$(B)/efi/%.obj: %.c $(B)/flags/efi | $(PACKAGES_STAMP)
	$(say) EFICC $<
	@mkdir -p $(@D)
	$(Q)$(KCC) $(EFIFLAGS) -MMD -MP -c $< -o $@

$(B)/efi/%.S.obj: %.S $(B)/flags/efi | $(PACKAGES_STAMP)
	$(say) EFIAS $<
	@mkdir -p $(@D)
	$(Q)$(KCC) $(filter-out -std=%,$(EFIFLAGS)) -D__ASSEMBLER__ -MMD -MP -c $< -o $@

$(B)/efi/BOOTX64.EFI: $(EFIOBJ)
	$(say) EFILD $@
	$(Q)lld-link $(EFILDFLAGS) /out:$@ $(EFIOBJ)

-include $(EFIOBJ:.obj=.d)

# ---------------------------------------------------------------------------------------------------
# Guest programs: test/user/*.c.  Linked static with musl; those that say so ("// VARIANTS: musl glibc
# dynamic") also static and dynamic with glibc.  guestinit and what `OWN_TOOLS` names go into every root,
# the tests into an overlay.

OWN_TOOLS := guestinit memview
USER_SRC := $(wildcard test/user/*.c)
USER_NAMES := $(USER_SRC:test/user/%.c=%)
USER_TESTS := $(filter-out $(OWN_TOOLS),$(USER_NAMES))
UCFLAGS := -std=gnu2x -O1 -g0 -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare \
	-Wno-stringop-overread -Wno-stringop-overflow -Wno-nonnull -Wno-infinite-recursion -fno-strict-aliasing -pthread -Itest/user
variant = $(patsubst test/user/%.c,%,$(shell grep -lE '^// VARIANTS:.*\b$(1)\b' $(USER_SRC) /dev/null))
USER_MUSL := $(filter-out $(call variant,nomusl),$(USER_TESTS))
USER_GLIBC := $(call variant,glibc)
USER_DYNAMIC := $(call variant,dynamic)
USER_BIN := $(USER_MUSL:%=$(B)/user/musl/%) $(USER_GLIBC:%=$(B)/user/glibc/%) \
	$(USER_DYNAMIC:%=$(B)/user/dynamic/%)

# musl-gcc finds only musl's own headers; <linux/...> comes from a folder of links
$(B)/user/include: | $(PACKAGES_STAMP)
	$(Q)mkdir -p $@.tmp && ln -sfn /usr/include/linux $@.tmp/linux && \
	ln -sfn /usr/include/asm-generic $@.tmp/asm-generic && \
	ln -sfn /usr/include/x86_64-linux-gnu/asm $@.tmp/asm && mv -T $@.tmp $@

$(B)/user/musl/%: test/user/%.c | $(B)/user/include
	$(say) MUSL $<
	@mkdir -p $(@D)
	$(Q)musl-gcc $(UCFLAGS) -isystem $(B)/user/include -static -s \
		-MMD -MP -MF $@.d $< -o $@

$(B)/user/glibc/%: test/user/%.c | $(PACKAGES_STAMP)
	$(say) GLIBC $<
	@mkdir -p $(@D)
	$(Q)gcc $(UCFLAGS) -static -s -MMD -MP -MF $@.d $< -o $@

$(B)/user/dynamic/%: test/user/%.c | $(PACKAGES_STAMP)
	$(say) DYNAMIC $<
	@mkdir -p $(@D)
	$(Q)gcc $(UCFLAGS) -fPIE -pie -s -MMD -MP -MF $@.d $< -o $@

-include $(wildcard $(B)/user/*/*.d)

user: $(USER_BIN) $(OWN_TOOLS:%=$(B)/user/musl/%) ## compile the guest programs of test/user
	@:

# ---------------------------------------------------------------------------------------------------
# Root file systems: build/initrd-small.img, build/initrd-debian.img

ROOT ?= small
SKELETON := $(shell find test/user/skeleton -type f)

$(B)/root/small.stamp: test/boot/mkroot $(SKELETON) $(OWN_TOOLS:%=$(B)/user/musl/%) Makefile
	$(say) ROOT small
	$(Q)test/boot/mkroot small $(B) "$(SMALL_PACKAGES)" "" $(OWN_TOOLS:%=$(B)/user/musl/%)
	@touch $@

$(B)/root/debian.stamp: test/boot/mkroot $(SKELETON) $(OWN_TOOLS:%=$(B)/user/musl/%) Makefile
	$(say) ROOT debian
	$(Q)test/boot/mkroot debian $(B) "$(DEBIAN_PACKAGES)" "$(DEBIAN_UNWANTED)" \
		$(OWN_TOOLS:%=$(B)/user/musl/%)
	@touch $@

$(B)/initrd-%.img: $(B)/root/%.stamp test/boot/cpio.py
	$(say) CPIO $@
	$(Q)python3 test/boot/cpio.py $(B)/root/$* >$@.tmp && mv $@.tmp $@
.PRECIOUS: $(B)/root/%.stamp $(B)/initrd-%.img

initrd: $(B)/initrd-small.img ## the default root file system
debian: $(B)/initrd-debian.img ## the root file system with Debian's packages

# Linux from the same release, to see what the right answer is: test/guest --linux
linux: $(B)/linux/vmlinuz ## fetch the reference kernel of test/guest --linux
$(B)/linux/vmlinuz: | $(PACKAGES_STAMP)
	$(say) LINUX $@
	$(Q)test/boot/mkroot linux $(B) "$(LINUX_PACKAGE)" ""

# ---------------------------------------------------------------------------------------------------
# Images: build/quoin.img for disks and sticks, build/quoin.iso for CDs

CMDLINE ?= $(APPEND)
IMAGE_FILES = EFI/BOOT/BOOTX64.EFI=$(B)/efi/BOOTX64.EFI EFI/quoin/kernel.elf=$(B)/quoin.elf \
	EFI/quoin/initrd.img=$(B)/initrd-$(ROOT).img EFI/quoin/cmdline.txt=$(B)/flags/cmdline
$(B)/flags/cmdline: flags_text = $(CMDLINE)
$(B)/flags/root: flags_text = $(ROOT)
IMAGE_DEPS = $(B)/efi/BOOTX64.EFI $(B)/quoin.elf $(B)/initrd-$(ROOT).img $(B)/flags/cmdline \
	$(B)/flags/root test/boot/mkimage

$(B)/quoin.img: $(IMAGE_DEPS)
	$(say) IMAGE $@
	$(Q)test/boot/mkimage $@ $(IMAGE_FILES)

$(B)/quoin.iso: $(IMAGE_DEPS) test/boot/mkiso
	$(say) ISO $@
	$(Q)test/boot/mkiso $@ $(IMAGE_FILES)

image: $(B)/quoin.img ## disk and USB stick image build/quoin.img (ROOT=small|debian)
iso: $(B)/quoin.iso ## CD image build/quoin.iso

usb: $(B)/quoin.img ## write the image to a stick: make usb DEV=/dev/sdX (asks first)
	@test/boot/usb $(B)/quoin.img "$(DEV)"

# ---------------------------------------------------------------------------------------------------
# Running.  SMP= MEM= NUMA= CPU= APPEND= GRAPHIC=1 ROOT=debian ACCEL=tcg|kvm

RUN = test/boot/run --root $(ROOT) --smp $(or $(SMP),2) --memory $(or $(MEM),1G) \
	--numa $(or $(NUMA),1) --cpu $(or $(CPU),max) --append "$(APPEND)" \
	--accel $(or $(ACCEL),auto) $(if $(filter 1,$(GRAPHIC)),--graphic)

run: build $(B)/initrd-$(ROOT).img $(B)/initrd-small.img ## boot to a shell here: SMP= MEM= NUMA= APPEND= GRAPHIC=1 ROOT=debian
	@$(RUN)

debug: build $(B)/initrd-$(ROOT).img ## as run, but wait for GDB on port 1234 (GDB=port)
	@$(RUN) --gdb $(or $(GDB),1234)

# ---------------------------------------------------------------------------------------------------
# Testing: see docs/testing.md

guest: build $(B)/initrd-small.img ## what test/guest needs
	@:

# The same kernel with every assertion and the lock-order checker: another configuration, hence another run of make.
$(B)/debug/initrd-small.img: $(B)/initrd-small.img
	@mkdir -p $(@D) && ln -sfn ../$(<F) $@
debug-kernel: $(B)/debug/initrd-small.img | $(PACKAGES_STAMP) ## the kernel of the debug tier: build/debug
	$(Q)$(MAKE) --no-print-directory B=$(B)/debug DEBUG=1 build

test: build debug-kernel user $(B)/initrd-small.img $(B)/initrd-debian.img $(B)/quoin.img $(B)/quoin.iso $(B)/bench/bench $(B)/bench/profile.so ## run every tier: ONLY=pattern TIER=name JOBS=2
	@test/run --jobs $(or $(JOBS),2) $(if $(TIER),--tier $(TIER)) $(if $(ONLY),--only '$(ONLY)')

lint: ## include direction, headers that compile alone, file lengths
	@test/lint/check

.PHONY: user initrd debian linux image iso usb run debug guest debug-kernel test lint

# ---------------------------------------------------------------------------------------------------
# Measuring: see docs/performance.md

BENCH_SRC := $(filter-out %/tiny.c %/profile.c,$(wildcard test/bench/*.c)) test/bench/embed.S

$(B)/bench/tiny: test/bench/tiny.c | $(B)/user/include
	@mkdir -p $(@D)
	$(Q)musl-gcc -static -Os -s $< -o $@

$(B)/bench/bench: $(BENCH_SRC) test/bench/bench.h $(B)/bench/tiny
	$(say) MUSL $@
	$(Q)musl-gcc -std=gnu2x -O2 -fno-builtin -fno-toplevel-reorder -Wall -Wextra -pthread -static \
		-isystem $(B)/user/include -DTINY='"$(B)/bench/tiny"' $(BENCH_SRC) -o $@

# QEMU's plugin: what the guest executes, by function and caller
$(B)/bench/profile.so: test/bench/profile.c | $(PACKAGES_STAMP)
	$(say) CC $<
	@mkdir -p $(@D)
	$(Q)gcc -std=gnu2x -O2 -Wall -Wextra -fPIC -shared $< -o $@

BENCH_DEPS := build $(B)/initrd-small.img $(B)/bench/bench $(B)/bench/profile.so

bench: $(BENCH_DEPS) ## count all against Debian's Linux, write docs/performance.md; in short: SETS=core,boot; OPS=a,b BASE=rev DOCS=1|0 BUDGET=1
	@test/bench/run $(if $(OPS),--ops $(OPS)) $(if $(SETS),--set $(SETS)) $(if $(BASE),--base $(BASE)) \
		$(if $(DOCS),--docs $(if $(filter 1,$(DOCS)),yes,no)) $(if $(BUDGET),--budget) $(BENCH_ARGS)

profile: $(BENCH_DEPS) ## where the instructions of an operation go: make profile OP=fork_exit_wait
	@test/bench/profile --graph $(PROFILE_ARGS) $(or $(OP),$(error say which operation: make profile OP=fork_exit_wait))

bench-compare: ## do the counted rows of two runs of make bench repeat? OLD=build/bench.last.json NEW=build/bench.json DOCS=1
	@test/bench/run --compare $(or $(OLD),$(B)/bench.last.json) $(or $(NEW),$(B)/bench.json) $(if $(filter 1,$(DOCS)),--docs yes)

.PHONY: bench bench-compare profile

# ---------------------------------------------------------------------------------------------------
# build: whatever parts are there

BUILD_TARGETS :=
ifneq ($(wildcard kernel/main.c),)
BUILD_TARGETS += $(B)/kernel.elf $(B)/quoin.elf
else
BUILD_TARGETS += $(KOBJ)
endif
ifneq ($(wildcard efi/*.c),)
BUILD_TARGETS += $(B)/efi/BOOTX64.EFI
endif

.PHONY: build objects clean help
build: $(PACKAGES_STAMP) $(BUILD_TARGETS) ## build kernel and EFI application (V=1 shows commands, DEBUG=1 checks more)
	@:

objects: $(KOBJ) $(EFIOBJ) ## compile everything, link nothing
	@:

clean: ## remove build/
	rm -rf $(B)

help: ## this list
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sort | \
		awk -F ':.*## ' '{ printf "  %-10s %s\n", $$1, $$2 }'
