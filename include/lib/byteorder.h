/* byteorder.h - fixed-endian and unaligned loads and stores; the machine is little-endian. */
#ifndef LIB_BYTEORDER_H
#define LIB_BYTEORDER_H

#include "lib/compiler.h"

#define swab16(x)	__builtin_bswap16(x)
#define swab32(x)	__builtin_bswap32(x)
#define swab64(x)	__builtin_bswap64(x)

#define cpu_to_le16(x)	((u16)(x))
#define cpu_to_le32(x)	((u32)(x))
#define cpu_to_le64(x)	((u64)(x))
#define le16_to_cpu(x)	((u16)(x))
#define le32_to_cpu(x)	((u32)(x))
#define le64_to_cpu(x)	((u64)(x))
#define cpu_to_be16(x)	swab16((u16)(x))
#define cpu_to_be32(x)	swab32((u32)(x))
#define cpu_to_be64(x)	swab64((u64)(x))
#define be16_to_cpu(x)	swab16((u16)(x))
#define be32_to_cpu(x)	swab32((u32)(x))
#define be64_to_cpu(x)	swab64((u64)(x))
#ifndef HOST_TEST
#define htons(x)	cpu_to_be16(x)
#define htonl(x)	cpu_to_be32(x)
#define ntohs(x)	be16_to_cpu(x)
#define ntohl(x)	be32_to_cpu(x)
#endif

#define __UNALIGNED(bits)							\
static __always_inline u##bits get_unaligned_le##bits(const void *p)		\
{ u##bits v; __builtin_memcpy(&v, p, sizeof(v)); return v; }			\
static __always_inline u##bits get_unaligned_be##bits(const void *p)		\
{ return swab##bits(get_unaligned_le##bits(p)); }				\
static __always_inline void put_unaligned_le##bits(u##bits v, void *p)		\
{ __builtin_memcpy(p, &v, sizeof(v)); }						\
static __always_inline void put_unaligned_be##bits(u##bits v, void *p)		\
{ put_unaligned_le##bits(swab##bits(v), p); }

__UNALIGNED(16)
__UNALIGNED(32)
__UNALIGNED(64)

#endif
