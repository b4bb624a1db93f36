/*
 * Clearing and copying whole pages with the widest registers in use.
 *
 * The registers are the running user thread's: what is touched is saved on the stack first and put
 * back. The callers in pageops.c keep preemption off; an interrupt in between may do the same to the
 * same registers, because it puts them back too. Unrolled completely: the loop control would be a
 * tenth of the work. RDI and RSI are page aligned.
 */
#include <x86/asm.h>

FUNC clear_page_sse
	sub	$16, %rsp
	movups	%xmm0, (%rsp)
	xorps	%xmm0, %xmm0
	.set	at, 0
	.rept	256
	movaps	%xmm0, at(%rdi)
	.set	at, at + 16
	.endr
	movups	(%rsp), %xmm0
	add	$16, %rsp
	ret
ENDFUNC clear_page_sse

FUNC clear_page_avx
	sub	$32, %rsp
	vmovdqu	%ymm0, (%rsp)
	vpxor	%xmm0, %xmm0, %xmm0
	.set	at, 0
	.rept	128
	vmovdqa	%ymm0, at(%rdi)
	.set	at, at + 32
	.endr
	vmovdqu	(%rsp), %ymm0
	add	$32, %rsp
	ret
ENDFUNC clear_page_avx

FUNC clear_page_avx512
	sub	$64, %rsp
	vmovdqu64 %zmm0, (%rsp)
	vpxor	%xmm0, %xmm0, %xmm0
	.set	at, 0
	.rept	64
	vmovdqa64 %zmm0, at(%rdi)
	.set	at, at + 64
	.endr
	vmovdqu64 (%rsp), %zmm0
	add	$64, %rsp
	ret
ENDFUNC clear_page_avx512

FUNC copy_page_sse
	sub	$32, %rsp
	movups	%xmm0, (%rsp)
	movups	%xmm1, 16(%rsp)
	.set	at, 0
	.rept	128
	movaps	at(%rsi), %xmm0
	movaps	at+16(%rsi), %xmm1
	movaps	%xmm0, at(%rdi)
	movaps	%xmm1, at+16(%rdi)
	.set	at, at + 32
	.endr
	movups	(%rsp), %xmm0
	movups	16(%rsp), %xmm1
	add	$32, %rsp
	ret
ENDFUNC copy_page_sse

FUNC copy_page_avx
	sub	$64, %rsp
	vmovdqu	%ymm0, (%rsp)
	vmovdqu	%ymm1, 32(%rsp)
	.set	at, 0
	.rept	64
	vmovdqa	at(%rsi), %ymm0
	vmovdqa	at+32(%rsi), %ymm1
	vmovdqa	%ymm0, at(%rdi)
	vmovdqa	%ymm1, at+32(%rdi)
	.set	at, at + 64
	.endr
	vmovdqu	(%rsp), %ymm0
	vmovdqu	32(%rsp), %ymm1
	add	$64, %rsp
	ret
ENDFUNC copy_page_avx

FUNC copy_page_avx512
	sub	$128, %rsp
	vmovdqu64 %zmm0, (%rsp)
	vmovdqu64 %zmm1, 64(%rsp)
	.set	at, 0
	.rept	32
	vmovdqa64 at(%rsi), %zmm0
	vmovdqa64 at+64(%rsi), %zmm1
	vmovdqa64 %zmm0, at(%rdi)
	vmovdqa64 %zmm1, at+64(%rdi)
	.set	at, at + 128
	.endr
	vmovdqu64 (%rsp), %zmm0
	vmovdqu64 64(%rsp), %zmm1
	add	$128, %rsp
	ret
ENDFUNC copy_page_avx512
