/* What Armv6-M (Cortex-M0, M0+) functions in assembler share, and requantisation there.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_ARMV6M_H
#define MQ_ARMV6M_H

#include "mq_base.h"

/* A function that is nothing but its instructions: callers may not conclude from its body what it leaves alone. */
#if defined(__clang__)
#define MQ_NAKED static __attribute__((naked, noinline, unused))
#else
#define MQ_NAKED static __attribute__((naked, noinline, unused, noipa))
#endif
#define MQ_READ_BELOW __attribute__((unused))

/* mq_requantise for a negative shift: ((a m >> 32 >> (-shift - 1)) + 1) >> 1, the product by halves as in
 * mq_mulh_by_halves. Compilers that inline it have too few registers left for everything else.
 * r0: a, then its upper half; r1: m, then its upper half; r3, r4: the lower halves. */
MQ_NAKED int32_t mq_requantise_down(MQ_READ_BELOW int32_t a, MQ_READ_BELOW int32_t m, MQ_READ_BELOW int32_t shift) {
    __asm__(".syntax unified\n"
            "push {r4, r5}\n"
            "uxth r3, r0\n asrs r0, r0, #16\n uxth r4, r1\n asrs r1, r1, #16\n"
            "movs r5, r3\n muls r5, r4, r5\n lsrs r5, r5, #16\n"
            "muls r4, r0, r4\n adds r4, r4, r5\n" /* middle */
            "muls r0, r1, r0\n muls r3, r1, r3\n"
            "uxth r5, r4\n adds r3, r3, r5\n" /* low */
            "asrs r4, r4, #16\n adds r0, r0, r4\n"
            "asrs r3, r3, #16\n adds r0, r0, r3\n"
            "mvns r2, r2\n asrs r0, r2\n adds r0, r0, #1\n asrs r0, r0, #1\n"
            "pop {r4, r5}\n bx lr\n");
}

/* A multiplier with a negative shift, and what follows: see mq_requantiser_of. m = high 2^16 + low, low in [-2^15,
 * 2^15). */
typedef struct {
    int32_t high;
    int32_t low;
    int32_t down;
    int32_t rounding;
    int32_t least;
    int32_t most;
} mq_requantiser;

/* clang-format off */

/* r0 = min(max(((r0 m >> 32 >> down) + rounding) >> 1, least), most), |r0| < 2^31 - 2^18, the multiplier at r1; as
 * mq_mulh_by_signed_halves: r4, r0 the halves of a, r2, r3 those of m. r1 to r5 are lost. */
#define MQ_REQUANTISE                                                                                                  \
    "ldmia r1!, {r2, r3}\n"                                                                                            \
    "sxth r4, r0\n movs r5, #0\n asrs r0, r0, #16\n adcs r0, r5\n"                                                     \
    "movs r5, r4\n muls r5, r3, r5\n asrs r5, r5, #16\n"                                                              \
    "muls r4, r2, r4\n adds r4, r4, r5\n muls r3, r0, r3\n adds r4, r4, r3\n" /* middle */                            \
    "muls r0, r2, r0\n asrs r4, r4, #16\n adds r0, r0, r4\n"                                                          \
    "ldmia r1!, {r2, r3}\n asrs r0, r2\n adds r0, r0, r3\n asrs r0, r0, #1\n"                                         \
    "ldmia r1!, {r2, r3}\n"                                                                                            \
    "cmp r0, r2\n bge 8f\n movs r0, r2\n"                                                                             \
    "8: cmp r0, r3\n ble 9f\n movs r0, r3\n 9:\n"

MQ_NAKED int32_t mq_requantised(MQ_READ_BELOW int32_t a, MQ_READ_BELOW const mq_requantiser *s) {
    __asm__(".syntax unified\n"
            "push {r4, r5}\n" MQ_REQUANTISE "pop {r4, r5}\n bx lr\n");
}

/* clang-format on */

#endif
