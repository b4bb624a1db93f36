/*
 * The only instructions of the kernel that touch user addresses (besides XSAVE/XRSTOR of signal
 * frames). All of it lies in .text.uaccess, which the page-fault handler knows; each access has an
 * entry in the exception table for faults that cannot be resolved.
 *
 * Copies return the number of bytes not copied. The fast forms use overlapping moves, which cannot
 * tell how far they came: on a fault the copy starts over with REP MOVSB, which can.
 */
#include <x86/asm.h>

/* One page beyond task_size_max is never mapped: an access of 8 bytes is checked by its first. */

/* u64 copy_user(void *to, const void *from, u64 n): one of the two is a user address, checked. */
FUNC copy_user, .text.uaccess
	USER_OPEN
	mov	%rdi, %r8
	mov	%rsi, %r9
	cmp	$8, %rdx
	jb	.Lcopy_tiny
	cmp	$16, %rdx
	ja	.Lcopy_more
10:	mov	(%rsi), %rax
11:	mov	-8(%rsi, %rdx), %rcx
12:	mov	%rax, (%rdi)
13:	mov	%rcx, -8(%rdi, %rdx)
	USER_CLOSE
	xor	%eax, %eax
	ret
	EXTABLE 10b, .Lcopy_again
	EXTABLE 11b, .Lcopy_again
	EXTABLE 12b, .Lcopy_again
	EXTABLE 13b, .Lcopy_again

.Lcopy_more:
	/* words by string move, the tail of up to 8 bytes by one overlapping move, first */
20:	mov	-8(%rsi, %rdx), %rax
21:	mov	%rax, -8(%rdi, %rdx)
	lea	-1(%rdx), %rcx
	shr	$3, %rcx
22:	rep movsq
	USER_CLOSE
	xor	%eax, %eax
	ret
	EXTABLE 20b, .Lcopy_again
	EXTABLE 21b, .Lcopy_again
	EXTABLE 22b, .Lcopy_again

.Lcopy_tiny:
	cmp	$4, %edx
	jb	.Lcopy_bytes
30:	mov	(%rsi), %eax
31:	mov	-4(%rsi, %rdx), %ecx
32:	mov	%eax, (%rdi)
33:	mov	%ecx, -4(%rdi, %rdx)
	USER_CLOSE
	xor	%eax, %eax
	ret
	EXTABLE 30b, .Lcopy_again
	EXTABLE 31b, .Lcopy_again
	EXTABLE 32b, .Lcopy_again
	EXTABLE 33b, .Lcopy_again

.Lcopy_again:
	mov	%r8, %rdi
	mov	%r9, %rsi
.Lcopy_bytes:
	mov	%edx, %ecx
	cmp	%rdx, %rcx
	jne	.Lcopy_long
40:	rep movsb
.Lcopy_end:
	USER_CLOSE
	mov	%rcx, %rax
	ret
.Lcopy_long:
	mov	%rdx, %rcx
	jmp	40b
	EXTABLE 40b, .Lcopy_end
ENDFUNC copy_user

/* u64 clear_user_raw(void *to, u64 n) */
FUNC clear_user_raw, .text.uaccess
	USER_OPEN
	mov	%rsi, %rcx
	xor	%eax, %eax
	mov	%rsi, %rdx
	shr	$3, %rcx
	and	$7, %edx
50:	rep stosq
	mov	%edx, %ecx
51:	rep stosb
	USER_CLOSE
	mov	%rcx, %rax
	ret
52:	lea	(%rdx, %rcx, 8), %rcx
53:	/* words are left: byte by byte tells how many bytes */
	rep stosb
54:	USER_CLOSE
	mov	%rcx, %rax
	ret
	EXTABLE 50b, 52b
	EXTABLE 51b, 54b
	EXTABLE 53b, 54b
ENDFUNC clear_user_raw

/* 128 bytes from the index and @at on */
.macro AVX_MOVE at
60:	vmovdqu	\at(%rsi, %rcx), %ymm0
61:	vmovdqu	32+\at(%rsi, %rcx), %ymm1
62:	vmovdqu	64+\at(%rsi, %rcx), %ymm2
63:	vmovdqu	96+\at(%rsi, %rcx), %ymm3
64:	vmovdqu	%ymm0, \at(%rdi, %rcx)
65:	vmovdqu	%ymm1, 32+\at(%rdi, %rcx)
66:	vmovdqu	%ymm2, 64+\at(%rdi, %rcx)
67:	vmovdqu	%ymm3, 96+\at(%rdi, %rcx)
	EXTABLE 60b, .Lavx_end
	EXTABLE 61b, .Lavx_end
	EXTABLE 62b, .Lavx_end
	EXTABLE 63b, .Lavx_end
	EXTABLE 64b, .Lavx_end
	EXTABLE 65b, .Lavx_end
	EXTABLE 66b, .Lavx_end
	EXTABLE 67b, .Lavx_end
.endm

/*
 * u64 copy_user_avx(void *to, const void *from, u64 n): n is a multiple of 512, not 0. The index runs up to 0.
 * => preemption and page faults off; the user's YMM0-3 are kept. Returns 0, or n when it faulted.
 */
FUNC copy_user_avx, .text.uaccess
	push	%rbp
	mov	%rsp, %rbp
	sub	$128, %rsp
	and	$-32, %rsp
	vmovdqa	%ymm0, (%rsp)
	vmovdqa	%ymm1, 32(%rsp)
	vmovdqa	%ymm2, 64(%rsp)
	vmovdqa	%ymm3, 96(%rsp)
	USER_OPEN
	mov	%rdx, %rcx
	add	%rdx, %rsi
	add	%rdx, %rdi
	neg	%rcx
1:	AVX_MOVE 0
	AVX_MOVE 128
	AVX_MOVE 256
	AVX_MOVE 384
	add	$512, %rcx
	jnz	1b
	xor	%edx, %edx
.Lavx_end:
	USER_CLOSE
	vmovdqa	(%rsp), %ymm0
	vmovdqa	32(%rsp), %ymm1
	vmovdqa	64(%rsp), %ymm2
	vmovdqa	96(%rsp), %ymm3
	mov	%rdx, %rax
	leave
	ret
ENDFUNC copy_user_avx

/* The same with 512-bit registers. */
FUNC copy_user_avx512, .text.uaccess
	push	%rbp
	mov	%rsp, %rbp
	sub	$256, %rsp
	and	$-64, %rsp
	vmovdqu64	%zmm0, (%rsp)
	vmovdqu64	%zmm1, 64(%rsp)
	vmovdqu64	%zmm2, 128(%rsp)
	vmovdqu64	%zmm3, 192(%rsp)
	USER_OPEN
	lea	(%rsi, %rdx), %rcx
70:	vmovdqu64	(%rsi), %zmm0
71:	vmovdqu64	64(%rsi), %zmm1
72:	vmovdqu64	128(%rsi), %zmm2
73:	vmovdqu64	192(%rsi), %zmm3
74:	vmovdqu64	%zmm0, (%rdi)
75:	vmovdqu64	%zmm1, 64(%rdi)
76:	vmovdqu64	%zmm2, 128(%rdi)
77:	vmovdqu64	%zmm3, 192(%rdi)
	add	$256, %rsi
	add	$256, %rdi
	cmp	%rcx, %rsi
	jne	70b
	xor	%edx, %edx
78:	USER_CLOSE
	vmovdqu64	(%rsp), %zmm0
	vmovdqu64	64(%rsp), %zmm1
	vmovdqu64	128(%rsp), %zmm2
	vmovdqu64	192(%rsp), %zmm3
	mov	%rdx, %rax
	leave
	ret
	EXTABLE 70b, 78b
	EXTABLE 71b, 78b
	EXTABLE 72b, 78b
	EXTABLE 73b, 78b
	EXTABLE 74b, 78b
	EXTABLE 75b, 78b
	EXTABLE 76b, 78b
	EXTABLE 77b, 78b
ENDFUNC copy_user_avx512

/*
 * s64 strncpy_user_raw(char *to, const char *from, u64 n): length without the NUL, n when there is
 * none, -EFAULT. Eight bytes at a time by the haszero trick; a word that faults is read by bytes.
 */
FUNC strncpy_user_raw, .text.uaccess
	USER_OPEN
	mov	%rdx, %rcx			/* bytes left */
	movabs	$0x0101010101010101, %r8
	movabs	$0x8080808080808080, %r9
1:	cmp	$8, %rcx
	jb	3f
80:	mov	(%rsi), %rax
	mov	%rax, (%rdi)
	mov	%rax, %r10
	sub	%r8, %rax
	not	%r10
	and	%r9, %rax
	and	%r10, %rax
	jnz	2f
	add	$8, %rsi
	add	$8, %rdi
	sub	$8, %rcx
	jmp	1b
2:	USER_CLOSE
	bsf	%rax, %rax
	shr	$3, %eax
	add	%rdx, %rax
	sub	%rcx, %rax
	ret
3:	test	%rcx, %rcx
	jz	4f
81:	movb	(%rsi), %al
	movb	%al, (%rdi)
	test	%al, %al
	jz	4f
	inc	%rsi
	inc	%rdi
	dec	%rcx
	jmp	3b
4:	USER_CLOSE
	mov	%rdx, %rax
	sub	%rcx, %rax
	ret
82:	USER_CLOSE
	mov	$-14, %rax			/* EFAULT */
	ret
	EXTABLE 80b, 3b
	EXTABLE 81b, 82b
ENDFUNC strncpy_user_raw

/* s64 strnlen_user_raw(const char *s, u64 n): length with the NUL, n + 1 when longer, 0 on a fault. */
FUNC strnlen_user_raw, .text.uaccess
	USER_OPEN
	mov	%rsi, %rcx
	movabs	$0x0101010101010101, %r8
	movabs	$0x8080808080808080, %r9
1:	cmp	$8, %rcx
	jb	3f
83:	mov	(%rdi), %rax
	mov	%rax, %r10
	sub	%r8, %rax
	not	%r10
	and	%r9, %rax
	and	%r10, %rax
	jnz	2f
	add	$8, %rdi
	sub	$8, %rcx
	jmp	1b
2:	USER_CLOSE
	bsf	%rax, %rax
	shr	$3, %eax
	lea	1(%rax, %rsi), %rax
	sub	%rcx, %rax
	ret
3:	test	%rcx, %rcx
	jz	4f
84:	cmpb	$0, (%rdi)
	je	4f
	inc	%rdi
	dec	%rcx
	jmp	3b
4:	USER_CLOSE
	lea	1(%rsi), %rax
	sub	%rcx, %rax
	ret
85:	USER_CLOSE
	xor	%eax, %eax
	ret
	EXTABLE 83b, 3b
	EXTABLE 84b, 85b
ENDFUNC strnlen_user_raw

/* int __get_user_N(u64 *v, const void *p) and int __put_user_N(u64 v, void *p) */
.macro GETPUT size, load, store, reg, wide
FUNC __get_user_\size, .text.uaccess
	cmp	task_size_max(%rip), %rsi
	jae	user_fault
	USER_OPEN
90:	\load	(%rsi), %\wide
	USER_CLOSE
	mov	%rax, (%rdi)
	xor	%eax, %eax
	ret
	EXTABLE 90b, user_fault
ENDFUNC __get_user_\size
FUNC __put_user_\size, .text.uaccess
	cmp	task_size_max(%rip), %rsi
	jae	user_fault
	USER_OPEN
91:	mov	%\reg, (%rsi)
	USER_CLOSE
	xor	%eax, %eax
	ret
	EXTABLE 91b, user_fault
ENDFUNC __put_user_\size
.endm
	GETPUT 1, movzbl, movb, dil, eax
	GETPUT 2, movzwl, movw, di, eax
	GETPUT 4, mov, movl, edi, eax
	GETPUT 8, mov, movq, rdi, rax

FUNC user_fault, .text.uaccess
	USER_CLOSE
	mov	$-14, %eax
	ret
ENDFUNC user_fault

/* int user_cmpxchg_raw(u32 *p, u32 expect, u32 new, u32 *old) */
FUNC user_cmpxchg_raw, .text.uaccess
	mov	%esi, %eax
	USER_OPEN
92:	lock; cmpxchg %edx, (%rdi)
	USER_CLOSE
	mov	%eax, (%rcx)
	xor	%eax, %eax
	ret
	EXTABLE 92b, user_fault
ENDFUNC user_cmpxchg_raw

/* int user_xchg_raw(u32 *p, u32 new, u32 *old) and int user_xadd_raw(u32 *p, u32 add, u32 *old) */
FUNC user_xchg_raw, .text.uaccess
	USER_OPEN
93:	xchg	%esi, (%rdi)
	USER_CLOSE
	mov	%esi, (%rdx)
	xor	%eax, %eax
	ret
	EXTABLE 93b, user_fault
ENDFUNC user_xchg_raw
FUNC user_xadd_raw, .text.uaccess
	USER_OPEN
94:	lock; xadd %esi, (%rdi)
	USER_CLOSE
	mov	%esi, (%rdx)
	xor	%eax, %eax
	ret
	EXTABLE 94b, user_fault
ENDFUNC user_xadd_raw

/* int xsave_user(void *area, u64 mask) and friends: 0, or -EFAULT (-EINVAL is the caller's to tell). */
FUNC xsave_user, .text.uaccess
	mov	%rsi, %rdx
	mov	%esi, %eax
	shr	$32, %rdx
	USER_OPEN
95:	xsave64	(%rdi)
	USER_CLOSE
	xor	%eax, %eax
	ret
	EXTABLE 95b, user_fault
ENDFUNC xsave_user
FUNC xrstor_user, .text.uaccess
	mov	%rsi, %rdx
	mov	%esi, %eax
	shr	$32, %rdx
	USER_OPEN
96:	xrstor64 (%rdi)
	USER_CLOSE
	xor	%eax, %eax
	ret
	EXTABLE 96b, user_fault
ENDFUNC xrstor_user
FUNC fxsave_user, .text.uaccess
	USER_OPEN
97:	fxsave64 (%rdi)
	USER_CLOSE
	xor	%eax, %eax
	ret
	EXTABLE 97b, user_fault
ENDFUNC fxsave_user
FUNC fxrstor_user, .text.uaccess
	USER_OPEN
98:	fxrstor64 (%rdi)
	USER_CLOSE
	xor	%eax, %eax
	ret
	EXTABLE 98b, user_fault
ENDFUNC fxrstor_user
