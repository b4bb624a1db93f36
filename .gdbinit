# GDB helpers for Quoin under QEMU: `make debug` in one terminal, in another, in the same directory:
#	gdb -iex 'add-auto-load-safe-path .'
# docs/debugging.md explains them; `q-help` lists them.

set confirm off
set pagination off
set print pretty on
set disassemble-next-line auto

python
import gdb

PAGE_BITS = ((0, "P"), (1, "W"), (2, "U"), (3, "PWT"), (4, "PCD"), (5, "A"), (6, "D"), (7, "PS"),
             (8, "G"), (63, "NX"))


def u64(value):
    return int(value) & (1 << 64) - 1


def ev(text):
    return gdb.parse_and_eval(text)


def read_phys(address, size):
    """Physical memory, through QEMU's stub."""
    gdb.execute("maint packet Qqemu.PhyMemMode:1", to_string=True)
    try:
        return bytes(gdb.selected_inferior().read_memory(address, size))
    finally:
        gdb.execute("maint packet Qqemu.PhyMemMode:0", to_string=True)


def kernel_gs():
    """GS base of the kernel on the selected CPU, whichever of the two registers holds it now."""
    deltas = ev("percpu_delta")
    known = [u64(deltas[n]) for n in range(cpus())]
    for name in ("$gs_base", "$k_gs_base"):
        if u64(ev(name)) in known:
            return u64(ev(name))
    raise gdb.GdbError("no kernel GS base: stopped before the CPU was set up")


def per_cpu(symbol, gs=None):
    gs = kernel_gs() if gs is None else gs
    pointer = ev(f"&{symbol}")
    return gdb.Value((u64(pointer) + gs) & (1 << 64) - 1).cast(pointer.type).dereference()


def cpus():
    return int(ev("nr_cpus"))


def each(head, type_name, member):
    """The objects of a list_head list."""
    kind = gdb.lookup_type(type_name)
    offset = next(f.bitpos // 8 for f in kind.fields() if f.name == member)
    node = head["next"]
    while u64(node) != u64(head.address):
        yield gdb.Value(u64(node) - offset).cast(kind.pointer())
        node = node["next"]


class Command(gdb.Command):
    known = []

    def __init__(self):
        Command.known.append((self.name, self.__doc__.strip().split("\n")[0]))
        super().__init__(self.name, gdb.COMMAND_DATA)

    def invoke(self, text, _tty):
        try:
            self.run(gdb.string_to_argv(text))
        except gdb.error as e:
            raise gdb.GdbError(f"{self.name}: {e}")


class Current(Command):
    """q-current: the running thread of the selected CPU (`thread N` selects one)"""
    name = "q-current"

    def run(self, _args):
        t = per_cpu("cpu_current")
        task = t.cast(gdb.lookup_type("struct task").pointer())
        print(f"cpu {int(per_cpu('this_cpu_number'))}: task {u64(t):#x} '{t['comm'].string()}' pid "
              f"{int(task['pid'])} tgid {int(task['tgid'])} state {int(t['state']):#x} "
              f"mm {u64(t['mm']):#x}")


class Tasks(Command):
    """q-tasks: every process with its state"""
    name = "q-tasks"

    def run(self, _args):
        print("              task    pid   ppid state cpu name")
        for t in each(ev("all_tasks"), "struct task", "tasks"):
            print(f"{u64(t):#18x} {int(t['pid']):6} {int(t['real_parent']['pid']):6} "
                  f"{int(t['thread']['state']):5x} {int(t['thread']['cpu']):3} "
                  f"{t['thread']['comm'].string()}")


class Runqueues(Command):
    """q-rq: the run queue of every CPU"""
    name = "q-rq"

    def run(self, _args):
        deltas = ev("percpu_delta")
        for cpu in range(cpus()):
            queue = per_cpu('run_queues', u64(deltas[cpu]))
            print(f"cpu {cpu}: {queue}")


class Walk(Command):
    """q-walk ADDRESS [CR3]: the page-table entries that translate an address"""
    name = "q-walk"

    def run(self, args):
        address = u64(ev(args[0]))
        table = u64(ev(args[1] if len(args) > 1 else "$cr3")) & 0x000ffffffffff000
        levels = 5 if u64(ev("$cr4")) & 1 << 12 else 4
        for level in range(levels, 0, -1):
            index = address >> (12 + 9 * (level - 1)) & 511
            entry = int.from_bytes(read_phys(table + 8 * index, 8), "little")
            flags = " ".join(n for b, n in PAGE_BITS if entry >> b & 1)
            print(f"level {level}: [{index:3}] at {table + 8 * index:#x} = {entry:#018x} {flags}")
            if not entry & 1:
                print("not present")
                return
            table = entry & 0x000ffffffffff000
            if level == 1 or (level < 4 and entry & 0x80):
                size = 1 << 12 + 9 * (level - 1)
                print(f"physical {(table & ~(size - 1)) | (address & size - 1):#x}, "
                      f"page of {size >> 10} KiB")
                return


class Slide(Command):
    """q-slide BYTES: the kernel was moved by KASLR (its log says by how much); reload the symbols"""
    name = "q-slide"

    def run(self, args):
        gdb.execute("symbol-file")
        gdb.execute(f"symbol-file build/kernel.elf -o {int(args[0], 0):#x}")


class Help(Command):
    """q-help: this list"""
    name = "q-help"

    def run(self, _args):
        for _, line in Command.known:
            print("  " + line)


try:
    gdb.execute("file build/kernel.elf")
except gdb.error as error:
    print(error)
for command in (Current, Tasks, Runqueues, Walk, Slide, Help):
    command()
end

define q-connect
	target remote :$arg0
end
document q-connect
q-connect PORT: attach to the machine of `make debug` (1234)
end
