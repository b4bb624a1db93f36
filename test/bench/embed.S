/* The built tiny.c, carried along so that the benchmark is one file. */
	.section .rodata
	.globl	tiny_elf, tiny_elf_end
	.balign	8
tiny_elf:
	.incbin	TINY
tiny_elf_end:
	.section .note.GNU-stack, "", @progbits
