"""report.py - tables and plots of what test/bench/run has measured, and the budget file"""
import math
import os
import re
import subprocess
import sys

BUDGET_HEAD = """\
# Guest instructions of each operation as of the last change of this file (make bench BUDGET=1 writes it).
# make test fails when one of them rises by more than 3 %: change the number in the commit that is the
# reason, and say the reason there.
"""
WORST_RATIO, MEAN_RATIO = 0.6, 0.33	# the goal

# what a row is counted in, when not instructions
UNITS = (("ipis_", "IPIs"), ("wall_", "ns"))
BOOT_UNITS = (("boot_insns", "M insns"), ("boot_kernel", "M insns"), ("boot_", "MB"))
COUNTED = ("core", "scale", "smp")	# sets counted in instructions; boot waits for devices, wall for the host
NO_RATIO = ("boot_firmware",)		# the same for all kernels
NO_MEAN = ("ipis_",)			# interrupts: to be compared, but the mean is that of instructions


def unit(op):
    return next((u for prefix, u in BOOT_UNITS + UNITS if op.startswith(prefix)), "")


def read_budget(path):
    found = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as f:
            for line in f:
                words = line.split("#")[0].split()
                if len(words) == 2:
                    found[words[0]] = float(words[1])
    return found


def number(value):
    if not isinstance(value, float):
        return "-" if value is None else str(value)
    if value >= 1e6:
        return f"{value / 1e6:,.2f} M"
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"


def ratio(row):
    """Quoin against the stronger of the others.  => number or None"""
    mine, *others = row
    others = [v for v in others if isinstance(v, float) and v > 0]
    return mine / min(others) if isinstance(mine, float) and mine > 0 and others else None


def mean(ratios):
    ratios = [r for r in ratios if r]
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else None


def rows(result, which):
    """=> (op, [value of each column], ratio) of a set"""
    columns = list(result["columns"].values())
    for op in result["sets"].get(which, ()):
        values = [c.get(op) for c in columns]
        yield op, values, None if op in NO_RATIO else ratio(values)


def judged(result, which):
    """=> {op: ratio} of the rows that make the mean and have to keep below the bound"""
    return {op: r for op, _, r in rows(result, which) if r and not op.startswith(NO_MEAN)}


def table(result, which, short=40):
    """=> lines of text: header and rows of cells"""
    yield ["operation"] + list(result["columns"]) + ["ratio", ""]
    for op, values, r in rows(result, which):
        cells = [number(v)[:short] for v in values]
        yield [op] + cells + [f"{r:.2f}" if r else "-", unit(op)]


def text(result):
    out = []
    for which in result["sets"]:
        lines = list(table(result, which))
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        for line in lines:
            out.append("  ".join([line[0].ljust(widths[0])] +
                                 [c.rjust(w) for c, w in zip(line[1:], widths[1:])]).rstrip())
        ratios = judged(result, which)
        if ratios and which in ("core", "scale", "smp", "boot"):
            over = [op for op, r in ratios.items() if r > WORST_RATIO]
            out.append(f"{which}: geometric mean {mean(ratios.values()):.3f} (goal {MEAN_RATIO}), worst "
                       f"{max(ratios.values()):.2f} (goal {WORST_RATIO}), {len(over)} of {len(ratios)} rows above")
        out.append("")
    return "\n".join(out)


# --- two runs ---------------------------------------------------------------------------------------

REPEATS = 0.5				# per cent that a row of a counted set may differ between two runs


def differences(a, b, which):
    """=> [(per cent, op, column, value of a, value of b)] of the rows of instructions that both have, largest first.  An answer
    that is no number differs from one that is, and from another text, by infinity."""
    found = []
    for column in a["columns"]:
        for op in a["sets"].get(which, ()):
            x, y = a["columns"][column].get(op), b["columns"].get(column, {}).get(op)
            if x is None or y is None or op.startswith(NO_MEAN):
                continue
            if isinstance(x, float) and isinstance(y, float):
                apart = 100 * abs(x - y) / min(abs(x), abs(y)) if x and y else (0.0 if x == y else math.inf)
            else:
                apart = 0.0 if x == y else math.inf
            found.append((apart, op, column, x, y))
    return sorted(found, key=lambda d: -d[0])


def compare(a, b):
    """=> lines that say by how much two runs differ, did all counted rows repeat?"""
    lines, ok, seen = [], True, False
    for which in a["sets"]:
        found = differences(a, b, which)
        if not found:
            continue
        counted = which in COUNTED
        over = [d for d in found if d[0] >= REPEATS] if counted else []
        seen |= counted
        ok &= not over
        for apart, op, column, x, y in over or found[:1]:
            lines.append(f"{which}: {op} on {column} differs by {apart:.2f} %: {number(x)} and {number(y)}")
        lines.append(f"{which}: {len(found)} rows, " + (f"{len(over)} of them differ by {REPEATS} % or more" if counted else
                                                        "not counted: not judged"))
    if not seen:
        lines.append("no counted row is in both")
    return lines, ok and seen


# --- docs/performance.md ---------------------------------------------------------------------------

def markdown(result, which):
    lines = list(table(result, which))
    out = []
    for i, line in enumerate(lines):
        line = [line[0] + (f" ({line[-1]})" if line[-1] else "")] + line[1:-1]
        out.append("| " + " | ".join(line) + " |")
        if i == 0:
            out.append("|---|" + "--:|" * (len(line) - 1))
    ratios = judged(result, which).values()
    if ratios and which in COUNTED:
        out.append("")
        out.append(f"Geometric mean of the ratios: {mean(ratios):.3f}; the worst row: {max(ratios):.2f}.")
    return "\n".join(out)


README_ROWS = (
    ("getppid", "null_syscall"), ("open and close a file", "open_close"), ("a byte through a pipe, with the switch", "pipe_hop"),
    ("first touch of a page", "fault_anon_4k"), ("first write after fork", "fault_cow"), ("mmap and munmap 64 KiB", "mmap_munmap_64k"),
    ("fork, exit, wait", "fork_exit_wait"), ("fork, exec, exit, wait", "fork_exec_wait"), ("start and join a thread", "thread_create_join"),
    ("read 64 KiB from the page cache", "read_64k_cached"), ("a signal to a handler and back", "sig_deliver"),
    ("the clock", "clock_gettime"))


def readme(result, path):
    """The short table between <!-- bench:short --> and <!-- end -->."""
    known = {op: (values, r) for op, values, r in rows(result, "core")}
    out = ["| operation | Quoin | Linux, the better | ratio |", "|---|--:|--:|--:|"]
    for label, op in README_ROWS:
        values, r = known.get(op, ([None], None))
        if r:
            out.append(f"| {label} | {number(values[0])} | {number(values[0] / r)} | {r:.2f} |")
    ratios = [r for _, r in known.values() if r]
    if not ratios:
        return
    out += ["", f"Geometric mean of all {len(ratios)} operations: {mean(ratios):.2f}; the worst: {max(ratios):.2f}."]
    between_markers(path, {"short": "\n".join(out)})


def between_markers(path, texts):
    """Replace what stands between <!-- bench:NAME --> and <!-- end -->, for each name."""
    with open(path, encoding="utf-8") as f:
        body = f.read()
    for name, new in texts.items():
        body = re.sub(rf"(<!-- bench:{name} -->\n).*?(<!-- end -->)",
                      lambda m, new=new: f"{m.group(1)}\n{new}\n\n{m.group(2)}", body, flags=re.S)
    with open(path, "w", encoding="utf-8") as f:
        f.write(body)


def docs_repeat(a, b, path):
    """How far two runs of the same revision differ on Quoin, a line a set."""
    out = ["| set | rows | largest difference | in |", "|---|--:|--:|---|"]
    for which in COUNTED:
        found = [d for d in differences(a, b, which) if d[2] == "Quoin"]
        if found:
            out.append(f"| {which} | {len(found)} | {found[0][0]:.2f} % | {found[0][1]} |")
    between_markers(path, {"repeat": "\n".join(out)})


def docs(result, path, figures):
    """Rewrite the tables of the file, draw the plots and write the README's short table."""
    between_markers(path, {which: markdown(result, which) for which in result["sets"]})
    os.makedirs(figures, exist_ok=True)
    if "core" in result["sets"]:
        readme(result, "README.md")
        plot_ratios(result, os.path.join(figures, "ratios.svg"))
    for which, name, title, x, y, families in CURVES:
        if which in result["sets"]:
            plot_curves(result, which, os.path.join(figures, name), title, (x, y), families)


GNUPLOT_HEAD = """\
set terminal svg size {w},{h} font "sans-serif,13" background "#ffffff" dynamic
set output "{out}"
set border 3 lc rgb "#666666"
set tics nomirror
set grid ytics lc rgb "#bbbbbb"
"""
QUOIN_BLUE, LINUX_GREY, LINUX_DARK = "#2266aa", "#bbbbbb", "#777777"


def gnuplot(script, out):
    try:
        p = subprocess.run(["gnuplot"], input=script, text=True, stderr=subprocess.PIPE)
    except FileNotFoundError:
        print("bench: gnuplot is missing, no plots (Debian package gnuplot-nox)", file=sys.stderr)
        return
    if p.returncode:
        print(f"bench: gnuplot, {out}: {p.stderr.strip()}", file=sys.stderr)


def plot_ratios(result, out):
    """A bar a row, longest first: instructions of Quoin over those of the stronger Linux."""
    data = sorted(((r, op) for op, _, r in rows(result, "core") if r))
    if not data:
        return
    script = GNUPLOT_HEAD.format(w=860, h=90 + 20 * len(data), out=out)
    script += "$data << EOD\n" + "".join(f"{r:.4f} {i} {op}\n" for i, (r, op) in enumerate(data)) + "EOD\n"
    tics = ", ".join(f'"{op.replace("_", " ")}" {i}' for i, (_, op) in enumerate(data))
    script += f"""set title "Guest instructions: Quoin / the stronger Linux (less is better)"
set yrange [-0.7:{len(data) - 0.3}]
set xrange [0:{max(1.05, data[-1][0] * 1.08):.3f}]
set ytics ({tics})
set grid noytics xtics lc rgb "#bbbbbb"
set arrow from 1,-0.7 to 1,{len(data) - 0.3} nohead back lc rgb "{LINUX_DARK}" lw 2
set arrow from {WORST_RATIO},-0.7 to {WORST_RATIO},{len(data) - 0.3} nohead back lc rgb "#cc4444" dt 2
set label "Linux" at 1,1 right offset -0.5,0 tc rgb "{LINUX_DARK}"
set label "the goal: at most {WORST_RATIO}" at {WORST_RATIO},1 left offset 0.5,0 tc rgb "#cc4444"
set style fill solid noborder
set style textbox opaque fillcolor rgb "#ffffff" noborder margins 0.3,0
plot $data using ($1/2):2:($1/2):(0.36) with boxxyerror lc rgb "{QUOIN_BLUE}" notitle, \\
     $data using 1:2:(sprintf("%.2f", $1)) with labels left boxed offset 0.3,0 font ",11" notitle
"""
    gnuplot(script, out)


# set, file, title, what x and y are, the families of operations NAME_<number>
CURVES = (
    ("scale", "vmas.svg", "Cost among many mappings", "mappings", "instructions", ("vma_mmap", "vma_fault", "vma_mprotect")),
    ("scale", "fds.svg", "Cost among many descriptors", "open descriptors", "instructions", ("fd_open", "fd_dup")),
    ("scale", "processes.svg", "Cost among many processes", "processes", "instructions", ("pid_fork", "pid_kill")),
    ("scale", "switch.svg", "Switches among n runnable or waiting processes", "processes", "instructions",
     ("yield", "futex_wake", "futex_contended")),
    ("scale", "fork.svg", "fork, exit, wait with touched memory", "MiB", "instructions", ("fork",)),
    ("smp", "shootdown.svg", "TLB interrupts of one call", "CPUs in the address space", "IPIs",
     ("ipis_munmap", "ipis_mprotect", "ipis_cow")),
    ("smp", "revoke.svg", "One call that takes translations away", "CPUs in the address space", "instructions of all CPUs",
     ("shoot_munmap", "shoot_mprotect", "shoot_cow")),
    ("smp", "faults.svg", "One fault, a thread on each CPU", "CPUs", "instructions", ("faults_own", "faults_one")),
    ("smp", "parallel.svg", "One operation, a process on each CPU", "CPUs", "instructions",
     ("par_getppid", "par_open", "par_mmap", "par_pipe", "par_fork")),
)


def curve(values, family):
    """=> [(number, value)] of the operations FAMILY_<number>[k|m|g]"""
    points = []
    for op, value in values.items():
        m = re.fullmatch(re.escape(family) + r"_(\d+)([mg]?)", op)
        if m and isinstance(value, float):
            points.append((int(m.group(1)) * (1024 if m.group(2) == "g" else 1), value))
    return sorted(points)


def plot_curves(result, which, out, title, axes, families):
    """One line a family and kernel; Quoin's are blue."""
    log_y = axes[1] != "IPIs"
    script = GNUPLOT_HEAD.format(w=760, h=440, out=out)
    script += f'set title "{title}"\nset xlabel "{axes[0]}"\nset ylabel "{axes[1]}"\nset logscale x\nset key outside right noenhanced\n'
    script += "set logscale y\nset format y '%.0s %c'\n" if log_y else "set yrange [0:*]\n"
    plots, places = [], set()
    # Quoin last and with smaller points: where curves coincide, both are seen
    for c, (column, values) in reversed(list(enumerate(result["columns"].items()))):
        values = {op: values.get(op) for op in result["sets"][which]}
        for k, family in enumerate(families):
            points = curve(values, family)
            if not points:
                continue
            places.update(a for a, _ in points)
            name = f"$d{c}_{k}"
            script += name + " << EOD\n" + "".join(f"{a} {b}\n" for a, b in points) + "EOD\n"
            colour = (QUOIN_BLUE, LINUX_GREY, LINUX_DARK)[min(c, 2)]
            plots.append(f'{name} with linespoints lw 2 pt {k + 4} ps {1.3 if c else 0.8} lc rgb "{colour}" title "{column} {family}"')
    if plots:
        # a tick exactly at the border would be lost to rounding
        script += "set xtics (" + ", ".join(f'"{a:,}" {a}' for a in sorted(places)) + ")\n"
        script += f"set xrange [{min(places) * 0.98}:{max(places) * 1.02}]\n"
        gnuplot(script + "plot " + ", \\\n     ".join(plots) + "\n", out)
