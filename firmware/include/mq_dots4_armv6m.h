/* Four dot products at once on Armv6-M (Cortex-M0, M0+), sums[k] = sum_i x[i] w[k n + i], i < n.
 *
 * MULS overwrites a factor and LDRSB has no offset, so a product is LDRSB, MULS and ADD. The eight low registers hold
 * x, the ends of the four rows, the column i - n as the index of all loads, and two factors; the high registers, on
 * which only ADD works, hold the sums. Compilers do not find this. Four columns at a time; the n mod 4 others come
 * first. SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_DOTS4_ARMV6M_H
#define MQ_DOTS4_ARMV6M_H

#include "mq_armv6m.h"

/* clang-format off */

/* In: r0 x, r1 w, r2 n, r3 sums. Then r1, r3, r7, r2: ends of rows; r8 to r11: their sums, 0; r4: -n in bytes of a row;
 * r12: the index at which groups of four columns begin. `scale` makes bytes of r2; `below`: of four columns, less 1. */
#define MQ_DOTS4_BEGIN(scale, below)                                                                                   \
    ".syntax unified\n"                                                                                                \
    "push {r4, r5, r6, r7, lr}\n"                                                                                      \
    "mov r4, r8\n mov r5, r9\n mov r6, r10\n mov r7, r11\n"                                                            \
    "push {r3, r4, r5, r6, r7}\n"                                                                                      \
    scale                                                                                                              \
    "rsbs r4, r2, #0\n"                                                                                                \
    "adds r1, r1, r2\n adds r3, r1, r2\n adds r7, r3, r2\n"                                                            \
    "movs r5, #" below "\n movs r6, r2\n bics r6, r5\n rsbs r6, r6, #0\n mov r12, r6\n"                                \
    "adds r2, r7, r2\n"                                                                                                \
    "movs r5, #0\n mov r8, r5\n mov r9, r5\n mov r10, r5\n mov r11, r5\n"

/* One column, x in r5, of rows whose values `load` takes `step` bytes apart; the flags tell whether it was the last. */
#define MQ_DOTS4_COLUMN(load, step)                                                                                    \
    load " r6, [r1, r4]\n muls r6, r5, r6\n add r8, r6\n"                                                              \
    load " r6, [r3, r4]\n muls r6, r5, r6\n add r9, r6\n"                                                              \
    load " r6, [r7, r4]\n muls r6, r5, r6\n add r10, r6\n"                                                             \
    load " r6, [r2, r4]\n muls r6, r5, r6\n add r11, r6\n"                                                             \
    "adds r4, r4, #" step "\n"

/* All columns: `one` at a time, then `four`. */
#define MQ_DOTS4_LOOPS(one, four)                                                                                      \
    "1: cmp r4, r12\n beq 2f\n" one "b 1b\n"                                                                           \
    "2: cmp r4, #0\n beq 4f\n"                                                                                         \
    "3:\n" four "bne 3b\n"                                                                                             \
    "4:\n"

#define MQ_DOTS4_END                                                                                                   \
    "mov r0, r8\n mov r1, r9\n mov r2, r10\n mov r3, r11\n"                                                            \
    "pop {r7}\n stmia r7!, {r0, r1, r2, r3}\n"                                                                         \
    "pop {r4, r5, r6, r7}\n mov r8, r4\n mov r9, r5\n mov r10, r6\n mov r11, r7\n"                                     \
    "pop {r4, r5, r6, r7, pc}\n"

/* x and rows in s8: one index for all. */
#define MQ_DOTS4_S8 "ldrsb r5, [r0, r4]\n" MQ_DOTS4_COLUMN("ldrsb", "1")

/* x in s16 or rows in s16: x moves on, as its index would be another one. */
#define MQ_DOTS4_S16(at, move) "ldrh r5, [r0, #" at "]\n sxth r5, r5\n" move MQ_DOTS4_COLUMN("ldrsb", "1")
#define MQ_DOTS4_OF_S16(at, move) "ldrb r5, [r0, #" at "]\n sxtb r5, r5\n" move MQ_DOTS4_COLUMN("ldrsh", "2")

MQ_NAKED void mq_dots4_s8(MQ_READ_BELOW const int8_t *x, MQ_READ_BELOW const int8_t *w, MQ_READ_BELOW uint32_t n,
                          MQ_READ_BELOW int32_t *sums) {
    __asm__(MQ_DOTS4_BEGIN("", "3")
            "subs r0, r0, r4\n"
            MQ_DOTS4_LOOPS(MQ_DOTS4_S8, MQ_DOTS4_S8 MQ_DOTS4_S8 MQ_DOTS4_S8 MQ_DOTS4_S8)
            MQ_DOTS4_END);
}

MQ_NAKED void mq_dots4_s16(MQ_READ_BELOW const int16_t *x, MQ_READ_BELOW const int8_t *w, MQ_READ_BELOW uint32_t n,
                           MQ_READ_BELOW int32_t *sums) {
    __asm__(MQ_DOTS4_BEGIN("", "3")
            MQ_DOTS4_LOOPS(MQ_DOTS4_S16("0", "adds r0, #2\n"),
                           MQ_DOTS4_S16("0", "") MQ_DOTS4_S16("2", "") MQ_DOTS4_S16("4", "")
                           MQ_DOTS4_S16("6", "adds r0, #8\n"))
            MQ_DOTS4_END);
}

MQ_NAKED void mq_dots4_of_s16(MQ_READ_BELOW const int8_t *x, MQ_READ_BELOW const int16_t *w, MQ_READ_BELOW uint32_t n,
                              MQ_READ_BELOW int32_t *sums) {
    __asm__(MQ_DOTS4_BEGIN("adds r2, r2, r2\n", "7")
            MQ_DOTS4_LOOPS(MQ_DOTS4_OF_S16("0", "adds r0, #1\n"),
                           MQ_DOTS4_OF_S16("0", "") MQ_DOTS4_OF_S16("1", "") MQ_DOTS4_OF_S16("2", "")
                           MQ_DOTS4_OF_S16("3", "adds r0, #4\n"))
            MQ_DOTS4_END);
}

/* clang-format on */

#endif
