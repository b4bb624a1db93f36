/* The linked vDSO, as bytes. kernel/proc/vdso.c copies it to pages of its own. */
	.section .rodata.vdso, "a"
	.balign 8
	.globl vdso_blob, vdso_blob_end
vdso_blob:
	.incbin "build/vdso/vdso.so"
vdso_blob_end:
