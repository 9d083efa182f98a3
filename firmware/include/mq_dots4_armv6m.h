/* Four dot products at once on Armv6-M (Cortex-M0, M0+), sums[k] = sum_i x[i] w[k n + i], i < n.
 *
 * MULS overwrites a factor and LDRSB has no offset, so a product is LDRSB, MULS and ADD. The eight low registers hold
 * x, the ends of the four rows, the column i - n as the index of all loads, and two factors; the high registers, on
 * which only ADD works, hold the sums. Compilers do not find this. Four columns at a time; the n mod 4 others come
 * first. SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_DOTS4_ARMV6M_H
#define MQ_DOTS4_ARMV6M_H

#include "mq_base.h"

/* In: r0 x, r1 w, r2 n, r3 sums. Then r1, r3, r7, r2: ends of rows; r8 to r11: their sums, 0; r4: -n;
 * r12: the index at which groups of four columns begin. */
#define MQ_DOTS4_BEGIN                                                                                                 \
    ".syntax unified\n"                                                                                                \
    "push {r4, r5, r6, r7, lr}\n"                                                                                      \
    "mov r4, r8\n mov r5, r9\n mov r6, r10\n mov r7, r11\n"                                                            \
    "push {r3, r4, r5, r6, r7}\n"                                                                                      \
    "rsbs r4, r2, #0\n"                                                                                                \
    "adds r1, r1, r2\n adds r3, r1, r2\n adds r7, r3, r2\n"                                                            \
    "movs r5, #3\n movs r6, r2\n bics r6, r5\n rsbs r6, r6, #0\n mov r12, r6\n"                                        \
    "adds r2, r7, r2\n"                                                                                                \
    "movs r5, #0\n mov r8, r5\n mov r9, r5\n mov r10, r5\n mov r11, r5\n"

/* One column, x in r5; the flags tell whether it was the last. */
#define MQ_DOTS4_COLUMN                                                                                                \
    "ldrsb r6, [r1, r4]\n muls r6, r5, r6\n add r8, r6\n"                                                              \
    "ldrsb r6, [r3, r4]\n muls r6, r5, r6\n add r9, r6\n"                                                              \
    "ldrsb r6, [r7, r4]\n muls r6, r5, r6\n add r10, r6\n"                                                             \
    "ldrsb r6, [r2, r4]\n muls r6, r5, r6\n add r11, r6\n"                                                             \
    "adds r4, r4, #1\n"

#define MQ_DOTS4_END                                                                                                   \
    "mov r0, r8\n mov r1, r9\n mov r2, r10\n mov r3, r11\n"                                                            \
    "pop {r7}\n stmia r7!, {r0, r1, r2, r3}\n"                                                                         \
    "pop {r4, r5, r6, r7}\n mov r8, r4\n mov r9, r5\n mov r10, r6\n mov r11, r7\n"                                     \
    "pop {r4, r5, r6, r7, pc}\n"

/* A function that is nothing but its instructions: callers may not conclude from its body what it leaves alone. */
#if defined(__clang__)
#define MQ_NAKED static __attribute__((naked, noinline, unused))
#else
#define MQ_NAKED static __attribute__((naked, noinline, unused, noipa))
#endif
#define MQ_READ_BELOW __attribute__((unused))

#define MQ_DOTS4_S8 "ldrsb r5, [r0, r4]\n" MQ_DOTS4_COLUMN

MQ_NAKED void mq_dots4_s8(MQ_READ_BELOW const int8_t *x, MQ_READ_BELOW const int8_t *w, MQ_READ_BELOW uint32_t n,
                          MQ_READ_BELOW int32_t *sums) {
    __asm__(MQ_DOTS4_BEGIN "subs r0, r0, r4\n"
                           "1: cmp r4, r12\n beq 2f\n" MQ_DOTS4_S8 "b 1b\n"
                           "2: cmp r4, #0\n beq 4f\n"
                           "3:\n" MQ_DOTS4_S8 MQ_DOTS4_S8 MQ_DOTS4_S8 MQ_DOTS4_S8 "bne 3b\n"
                           "4:\n" MQ_DOTS4_END);
}

/* x moves on, as its index would be twice that of the rows. */
#define MQ_DOTS4_S16(at, move) "ldrh r5, [r0, #" at "]\n sxth r5, r5\n" move MQ_DOTS4_COLUMN

MQ_NAKED void mq_dots4_s16(MQ_READ_BELOW const int16_t *x, MQ_READ_BELOW const int8_t *w, MQ_READ_BELOW uint32_t n,
                           MQ_READ_BELOW int32_t *sums) {
    __asm__(MQ_DOTS4_BEGIN "1: cmp r4, r12\n beq 2f\n" MQ_DOTS4_S16(
        "0", "adds r0, #2\n") "b 1b\n"
                              "2: cmp r4, #0\n beq 4f\n"
                              "3:\n" MQ_DOTS4_S16("0", "") MQ_DOTS4_S16("2", "") MQ_DOTS4_S16("4", "")
                                  MQ_DOTS4_S16("6", "adds r0, #8\n") "bne 3b\n"
                                                                     "4:\n" MQ_DOTS4_END);
}

#endif
