/* kernel/fs/config.txt, compressed: the text of /proc/config.gz. */
	.section .rodata.config, "a"
	.globl config_gz, config_gz_end
config_gz:
	.incbin "build/config.gz"
config_gz_end:
