"""machine.py - the one place that knows how a machine for Quoin is started under QEMU.

Used by test/guest (a program in a guest without a terminal) and test/boot/run (`make run`,
`make debug`).  It makes the boot image from the files in build/, gives the firmware a private copy
of the pristine variable store, and puts the QEMU command line together.

The boot image is a GPT disk with one FAT32 file system (mkimage).  A template that already holds the
EFI application, the kernel and a root archive is kept in build/guest/ per root and remade when one of
them changes; a run takes a sparse copy and adds its command line and its overlay, which costs some
20 ms beside the four seconds of the firmware.
"""
import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys

import cpio

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("QUOIN_BUILD", os.path.join(TOP, "build"))
MKIMAGE = os.path.join(TOP, "test", "boot", "mkimage")
MKISO = os.path.join(TOP, "test", "boot", "mkiso")
ESP = "@@1M"			# where mkimage puts the file system
OVMF_CODE = ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/edk2/x64/OVMF_CODE.4m.fd")
OVMF_VARS = os.path.join(TOP, "ovmf-vars", "OVMF_VARS_4M.fd")
BOOT_DEVICES = ("virtio", "nvme", "ahci", "usb", "cd")


class Error(Exception):
    """Something on the host is missing or wrong; the text is for the user."""


def built(name):
    path = os.path.join(BUILD, name)
    if not os.path.exists(path):
        raise Error(f"{path} is missing: run make first")
    return path


def firmware():
    for path in (os.environ.get("OVMF_CODE"),) + OVMF_CODE:
        if path and os.path.exists(path):
            return path
    raise Error("OVMF is missing: run 'make packages' (Debian package ovmf)")


def loader_files():
    """The files of a boot image, without the root archive."""
    return {"EFI/BOOT/BOOTX64.EFI": built("efi/BOOTX64.EFI"),
            "EFI/quoin/kernel.elf": built("quoin.elf")}


def initrd(root):
    return built(f"initrd-{root}.img")


def run_tool(args, **kw):
    p = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kw)
    if p.returncode:
        raise Error(f"{' '.join(args)}: {p.stdout.strip()}")


def template(root):
    """Path of the up-to-date image with everything but the command line."""
    files = dict(loader_files())
    files["EFI/quoin/initrd.img"] = initrd(root)
    folder = os.path.join(BUILD, "guest")
    os.makedirs(folder, exist_ok=True)
    image = os.path.join(folder, f"{root}.img")
    with open(image + ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        newest = max(os.stat(f).st_mtime_ns for f in list(files.values()) + [MKIMAGE])
        if not os.path.exists(image) or os.stat(image).st_mtime_ns <= newest:
            run_tool([MKIMAGE, image] + [f"{k}={v}" for k, v in files.items()])
    return image


def copy_into(image, name, data):
    """Write bytes as a file of the image's file system."""
    p = subprocess.run(["mcopy", "-o", "-i", image + ESP, "-", "::" + name],
                       input=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if p.returncode:
        raise Error(f"mcopy {name}: {p.stdout.decode(errors='replace').strip()}")


def overlay_archive(dirs, argv=None):
    """A cpio archive of the overlay directories and of the argument vector for guestinit."""
    import io
    out = io.BytesIO()
    archive = cpio.Archive(out)
    for d in dirs:
        if not os.path.isdir(d):
            raise Error(f"{d}: not a directory")
        archive.add_tree(d, merge_usr=True)
    if argv is not None:
        archive.add_file(".guest/argv", b"".join(os.fsencode(a) + b"\0" for a in argv))
    archive.close()
    return out.getvalue()


def make_cd(path, workdir, root, cmdline, overlay=b""):
    """The same as a CD."""
    files = dict(loader_files())
    for name, data in (("initrd.img", archive_with(root, overlay)),
                       ("cmdline.txt", (cmdline + "\n").encode())):
        files["EFI/quoin/" + name] = os.path.join(workdir, name)
        with open(files["EFI/quoin/" + name], "wb") as f:
            f.write(data)
    run_tool([MKISO, path] + [f"{k}={v}" for k, v in files.items()])


def archive_with(root, overlay):
    """The root's archive with the overlay's after it."""
    with open(initrd(root), "rb") as f:
        base = f.read()
    return base + b"\0" * (-len(base) % 512) + overlay


def make_image(path, root, cmdline, overlay=b""):
    """The boot image of one run."""
    subprocess.run(["cp", "--reflink=auto", "--sparse=always", template(root), path], check=True)
    if overlay:
        copy_into(path, "EFI/quoin/initrd.img", archive_with(root, overlay))
    copy_into(path, "EFI/quoin/cmdline.txt", (cmdline + "\n").encode())


def parse_size(text):
    """'128M', '2G' or '512' (MiB) in bytes."""
    units = {"K": 10, "M": 20, "G": 30, "T": 40}
    try:
        unit = text[-1].upper()
        return int(text[:-1]) << units[unit] if unit in units else int(text) << 20
    except (ValueError, IndexError):
        raise Error(f"'{text}' is not a size") from None


def numa_args(nodes, smp, memory):
    """Memory and CPUs spread evenly over the nodes, distance 10 and 21."""
    args = []
    share = memory // nodes >> 20 << 20
    for n in range(nodes):
        size = share if n < nodes - 1 else memory - share * (nodes - 1)
        first, last = n * smp // nodes, (n + 1) * smp // nodes - 1
        cpus = f",cpus={first}-{last}" if last >= first else ""
        args += ["-object", f"memory-backend-ram,id=ram{n},size={size}",
                 "-numa", f"node,nodeid={n},memdev=ram{n}{cpus}"]
    for a in range(nodes):
        for b in range(a + 1, nodes):
            args += ["-numa", f"dist,src={a},dst={b},val=21"]
    return args


def accel_args(accel, icount):
    if icount is not None:
        return ["-accel", "tcg,thread=single", "-icount", f"shift={icount},sleep=off"]
    if accel == "kvm":
        return ["-accel", "kvm"]
    if accel == "single":
        return ["-accel", "tcg,thread=single"]
    return ["-accel", "tcg,thread=multi"]


def boot_disk_args(device, image):
    drive = ["-drive", f"if=none,id=boot,file={escape(image)},format=raw,cache=unsafe"]
    if device == "cd":
        drive[1] += ",media=cdrom,readonly=on"
    return drive + {
        "virtio": ["-device", "virtio-blk-pci,drive=boot,bootindex=0"],
        "nvme": ["-device", "nvme,serial=boot,drive=boot,bootindex=0"],
        "ahci": ["-device", "ide-hd,drive=boot,bus=ide.0,bootindex=0"],
        "usb": ["-device", "qemu-xhci", "-device", "usb-storage,drive=boot,bootindex=0"],
        "cd": ["-device", "ide-cd,drive=boot,bus=ide.0,bootindex=0"],
    }[device]


def escape(path):
    """A file name inside a QEMU option."""
    return path.replace(",", ",,")


def qemu_args(workdir, image, smp=1, memory="512M", cpu="max", numa=0, accel="tcg", icount=None,
              boot_device="virtio", disks=(), vga="none"):
    """The QEMU command line of a machine; workdir receives the variable store."""
    size = parse_size(memory)
    variables = os.path.join(workdir, "vars.fd")
    if not os.path.exists(OVMF_VARS):
        raise Error(f"{OVMF_VARS} is missing")
    shutil.copyfile(OVMF_VARS, variables)
    args = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-machine", "q35",
            "-cpu", cpu, "-smp", str(smp), "-m", f"{size >> 20}M", "-nic", "none",
            "-drive", f"if=pflash,unit=0,readonly=on,format=raw,file={firmware()}",
            "-drive", f"if=pflash,unit=1,format=raw,file={escape(variables)}",
            "-vga", vga, "-no-reboot", "-device", "virtio-rng-pci"]
    args += accel_args(accel, icount)
    if numa > 1:
        args += numa_args(numa, smp, size)
    args += boot_disk_args(boot_device, image)
    for i, disk in enumerate(disks):
        if not os.path.exists(disk):
            raise Error(f"{disk}: no such disk image")
        args += ["-drive", f"if=none,id=disk{i},file={escape(disk)},format=raw",
                 "-device", f"virtio-blk-pci,drive=disk{i}"]
    return args


def die_with_parent(own_group=True):
    """Run in the child before exec: QEMU never outlives the program that started it."""
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)	# PR_SET_PDEATHSIG
    if own_group:
        os.setpgid(0, 0)			# a Ctrl-C is for us, not for QEMU


def kvm_works():
    """Decided by trying: a guest runs /bin/true with KVM.  The answer is kept until the next boot."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as f:
            key = f.read().strip()
    except OSError:
        key = "?"
    answer = os.path.join(BUILD, ".kvm")
    try:
        with open(answer, encoding="ascii") as f:
            known, value = f.read().split()
        if known == key:
            return value == "yes"
    except (OSError, ValueError):
        pass
    works = False
    if os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("  KVM      trying it (once)", file=sys.stderr)
        works = subprocess.run(
            [os.path.join(TOP, "test", "guest"), "--accel", "kvm", "--timeout", "12", "--",
             "/bin/true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
        print("  KVM     ", "works" if works else "does not work here, TCG is used", file=sys.stderr)
    with open(answer, "w", encoding="ascii") as f:
        f.write(f"{key} {'yes' if works else 'no'}\n")
    return works
