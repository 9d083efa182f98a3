/* Types and macros that every source of mcu-quant's firmware starts from.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_BASE_H
#define MQ_BASE_H

#include <stddef.h>
#include <stdint.h>

#include "mq_names.h" /* gives every symbol the model's prefix, so that two models link into one program */

/* On AVR, say, sums would overflow without a word. */
#if defined(__SIZEOF_INT__) && __SIZEOF_INT__ < 4
#error "mcu-quant's sources need an int of 32 bits"
#endif

/* MQ_CHECKED builds stop where a contract is broken; others trust what was proven at generation time. */
#if defined(MQ_CHECKED)
void mq_contract_broken(const char *file, int line, const char *condition);
#define MQ_ASSERT(condition) ((condition) ? (void)0 : mq_contract_broken(__FILE__, __LINE__, #condition))
#else
#define MQ_ASSERT(condition) ((void)0)
#endif

/* Constants that kernels load by words lie on word boundaries. */
#if defined(__GNUC__)
#define MQ_ALIGNED __attribute__((aligned(8)))
#else
#define MQ_ALIGNED
#endif

/* Functions of a header that several places of one file call. */
#if defined(__GNUC__)
#define MQ_OUT_OF_LINE static __attribute__((noinline, unused))
#else
#define MQ_OUT_OF_LINE static
#endif

/* What a compiler does itself, by its own names: they mean the same in projects that turn built-in functions off, as
 * Zephyr does (-ffreestanding, where memcpy is a call even for one register), and whose C library has little of
 * <math.h>. */
#if defined(__GNUC__)
#define MQ_INFINITY __builtin_inff()
#define MQ_NAN __builtin_nanf("")
#define MQ_COPY(to, from, bytes) ((void)__builtin_memcpy(to, from, bytes)) /* of a few bytes, known when compiled */
#define MQ_SQRT(x) __builtin_sqrtf(x)
#else
#include <math.h>
#include <string.h>
#define MQ_INFINITY INFINITY
#define MQ_NAN NAN
#define MQ_COPY(to, from, bytes) ((void)memcpy(to, from, bytes))
#define MQ_SQRT(x) sqrtf(x)
#endif

/* Stands before each call of a generated schedule. A traced build sees every step begin; others see nothing. */
#if defined(MQ_TRACE)
void mq_trace(uint32_t step);
#define MQ_STEP(step) mq_trace(step);
#else
#define MQ_STEP(step)
#endif

/* A half-precision number as it is stored. Arithmetic on it is in f32 unless a kernel's file says otherwise. */
typedef uint16_t mq_f16;

/* Values by the names of their formats, for bodies that serve several. */
typedef int8_t mq_value_s8;
typedef int16_t mq_value_s16;
typedef mq_f16 mq_value_f16;

#endif
