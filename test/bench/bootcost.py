"""bootcost.py - what it costs to get to the first program: instructions, size of the image, memory

boot_insns        guest instructions, in millions, from the first of the kernel's EFI image (StartImage) to
                  the first of process 1, counted by profile.c's marks; 1 GiB, -icount shift=0 (a virtual
                  nanosecond an instruction).  In it is the firmware's waiting for the disk and the random
                  number generator, which repeats to a few per cent only
boot_kernel       the part of it from the kernel's own first instruction, which repeats (Quoin; in Linux the
                  image is the kernel).  _512m and _8g: with that much memory; a virtual instruction takes
                  8 ns there, so that what waits for a clock has less weight
boot_image        the file or files the firmware loads as kernel, in MB (Quoin: application + kernel)
boot_memory_512m  memory gone when the first program looks, in MB: what the firmware's map gives to an operating
boot_memory_8g    system (conventional, loader and boot-services memory: "System RAM" in /proc/iomem) and is
                  neither free nor in files then (MemFree, Cached and Buffers of /proc/meminfo; the unpacked
                  initrd is files).  What the firmware keeps for itself is not in it; boot_firmware is that
"""
import os
import struct
import subprocess

import machine

VERSION = 4			# of these definitions: remembered results of others are void
OPS = {"boot_insns": "from StartImage to the first instruction of process 1, millions",
       "boot_kernel": "from the kernel's own first instruction, millions",
       "boot_kernel_512m": "the same with 512 MiB",
       "boot_kernel_8g": "the same with 8 GiB",
       "boot_image": "what is loaded as the kernel, MB",
       "boot_memory_512m": "memory gone at the first program, of 512 MiB, MB",
       "boot_memory_8g": "the same of 8 GiB",
       "boot_firmware": "what the firmware keeps for itself, of 512 MiB, MB"}
CPU = "max,-erms,-la57"
# What Quoin promises, and test/bench/bounds checks.
BOUNDS = {"boot_insns": 100.0, "boot_kernel": 100.0, "boot_image": 1.5, "boot_memory_512m": 8.0}
GROWTH = 0.02			# of the bytes between 512 MiB and 8 GiB: memory, and instructions, one a byte
GROWING = {"boot_kernel": ("boot_kernel_512m", "boot_kernel_8g"),
           "boot_memory": ("boot_memory_512m", "boot_memory_8g")}


def pe_entry(path):
    """The first bytes of code of an EFI application, as hex."""
    with open(path, "rb") as f:
        data = f.read()
    pe = struct.unpack_from("<I", data, 0x3c)[0]		# PE format: e_lfanew
    sections, optional = struct.unpack_from("<H", data, pe + 6)[0], struct.unpack_from("<H", data, pe + 20)[0]
    entry = struct.unpack_from("<I", data, pe + 24 + 16)[0]
    for i in range(sections):
        size, rva, rawsize, raw = struct.unpack_from("<IIII", data, pe + 24 + optional + 40 * i + 8)
        if rva <= entry < rva + max(size, rawsize):
            return data[raw + entry - rva:][:24].hex()
    raise machine.Error(f"{path}: no code at its entry point")


def elf_entry(path):
    """The first bytes of code of a static program, as hex."""
    with open(path, "rb") as f:
        data = f.read()
    entry, phoff = struct.unpack_from("<QQ", data, 24)
    phentsize, phnum = struct.unpack_from("<HH", data, 54)
    for i in range(phnum):
        kind, _, offset, vaddr, _, filesz = struct.unpack_from("<IIQQQQ", data, phoff + i * phentsize)
        if kind == 1 and vaddr <= entry < vaddr + filesz:
            return data[offset + entry - vaddr:][:24].hex()
    raise machine.Error(f"{path}: no code at its entry point")


def guest(out, more, program, build):
    env = dict(os.environ, QUOIN_BUILD=build) if build else None
    return subprocess.run(["test/guest", "--timeout", "580", "--cpu", CPU, "--log", os.path.join(out, "boot.log")] +
                          more + ["--"] + program, stdout=subprocess.PIPE, text=True, env=env)


def boot_insns(out, size, shift, efi, kernel, extra, build=None):
    """=> {"start": millions to process 1, "kernel": of them, from the kernel's entry}, or a text that says what failed"""
    marks = os.path.join(out, "marks")
    if os.path.exists(marks):
        os.remove(marks)
    plugin = (f"{os.path.join(machine.BUILD, 'bench', 'profile.so')},out={marks},mark=start:{pe_entry(efi)},"
              f"mark=init:{elf_entry(os.path.join(machine.BUILD, 'user/musl/guestinit'))}")
    if kernel:
        plugin += f",mark=kernel:{elf_entry(kernel)}"
    p = guest(out, ["--memory", size, "--icount", str(shift), "--qemu=-plugin", "--qemu=" + plugin] + extra, ["/bin/true"], build)
    found = {}
    if os.path.exists(marks):
        with open(marks, encoding="ascii") as f:
            for line in f:
                name, count = line.split()
                found[name] = int(count)
    if "start" not in found or "init" not in found or (kernel and "kernel" not in found):
        return f"FAILED (guest exit code {p.returncode}, marks {found})"
    return {name: (found["init"] - count) / 1e6 for name, count in found.items()}


def read_memory(text):
    """/proc/meminfo and /proc/iomem.  => ({name: bytes}, bytes of RAM the firmware leaves to the system)"""
    info, ram = {}, 0
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0].endswith(":") and words[1].isdigit():
            info[words[0][:-1]] = 1024 * int(words[1])
        elif line.endswith(" : System RAM") and not line.startswith(" "):
            first, last = (int(x, 16) for x in words[0].split("-"))
            ram += last + 1 - first
    return info, ram


def memory(out, size, extra, build=None):
    """=> {what: bytes} for "gone" and "firmware", or a text that says what failed"""
    p = guest(out, ["--memory", size] + extra, ["/bin/cat", "/proc/meminfo", "/proc/iomem"], build)
    info, ram = read_memory(p.stdout)
    if "MemFree" not in info or not ram:
        return f"FAILED (guest exit code {p.returncode})"
    gone = ram - info["MemFree"] - info.get("Cached", 0) - info.get("Buffers", 0)
    return {"gone": gone / 1e6, "firmware": (machine.parse_size(size) - ram) / 1e6}


def costs(out, ops, efi, kernel, extra, build=None):
    """@kernel: a file beside the image, or None: the image is the kernel.  => {op: value, None or text}"""
    seen = {}

    def part(measure, args, which):
        key = (measure,) + args
        if key not in seen:
            seen[key] = measure(out, *args, *(() if measure is memory else (efi, kernel)), extra, build)
        return seen[key] if isinstance(seen[key], str) else seen[key].get(which)

    def own(size, shift):
        return part(boot_insns, (size, shift), "kernel") if kernel else None

    known = {"boot_insns": lambda: part(boot_insns, ("1G", 0), "start"),
             "boot_kernel": lambda: own("1G", 0),
             "boot_kernel_512m": lambda: own("512M", 3),
             "boot_kernel_8g": lambda: own("8G", 3),
             "boot_image": lambda: sum(map(os.path.getsize, [efi] + ([kernel] if kernel else []))) / 1e6,
             "boot_memory_512m": lambda: part(memory, ("512M",), "gone"),
             "boot_memory_8g": lambda: part(memory, ("8G",), "gone"),
             "boot_firmware": lambda: part(memory, ("512M",), "firmware")}
    return {op: known[op]() for op in ops}


def verdicts(found):
    """Which of the promises hold.  => [(text, does it?)]"""
    out = []
    for op, bound in BOUNDS.items():
        value = found.get(op)
        ok = isinstance(value, float) and value <= bound
        out.append((f"{op}: {value if not isinstance(value, float) else f'{value:.2f}'}, at most {bound}", ok))
    room = GROWTH * (machine.parse_size("8G") - machine.parse_size("512M")) / 1e6
    for name, (small, big) in GROWING.items():
        a, b = found.get(small), found.get(big)
        ok = isinstance(a, float) and isinstance(b, float) and b - a <= room
        grows = f"{b - a:.2f}" if isinstance(a, float) and isinstance(b, float) else f"{a}, {b}"
        out.append((f"{name}: grows by {grows} from 512 MiB to 8 GiB, at most {room:.0f}", ok))
    return out


def quoin(out, ops, build=None):
    where = build or machine.BUILD
    return costs(out, ops, os.path.join(where, "efi", "BOOTX64.EFI"), os.path.join(where, "quoin.elf"), [], build)


def linux(image, out, ops, extra):
    return costs(out, ops, image, None, ["--linux", image] + extra)
