/*
 * show.h - the text of /proc files about memory.  Each writes the whole file; locks are taken
 * inside and held for one zone, one cache or one area at a time.  => may be called anywhere
 * preemption is on.
 */
#ifndef MM_SHOW_H
#define MM_SHOW_H

struct seq_buf;

void meminfo_show(struct seq_buf *m);
void memmap_show(struct seq_buf *m); /* who owns each 2 MiB (mm/memmap.c) */
void buddyinfo_show(struct seq_buf *m);
void pagetypeinfo_show(struct seq_buf *m);
void zoneinfo_show(struct seq_buf *m);
void slabinfo_show(struct seq_buf *m);
void iomem_show(struct seq_buf *m);
void vmallocinfo_show(struct seq_buf *m);
void vmstat_show(struct seq_buf *m);
/* its parts */
void user_pages_vmstat_show(struct seq_buf *m);
void zone_vmstat_show(struct seq_buf *m);
void numa_vmstat_show(struct seq_buf *m, int node, const char *indent); /* node < 0: of all */
/* /sys/devices/system/node/nodeN/{meminfo,distance,cpulist,numastat} */
void node_meminfo_show(struct seq_buf *m, int node);
void node_numastat_show(struct seq_buf *m, int node);
void node_vmstat_show(struct seq_buf *m, int node);
void node_distance_show(struct seq_buf *m, int node);

#endif
