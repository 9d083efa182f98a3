/* Dot products with four vectors, two in a word, on Armv6-M; mq_pair_dots.h has the mathematics.
 *
 * Two columns are 19 instructions for 8 products. Only the eight low registers multiply and shift: they hold the pairs,
 * the end of the weights and the column k - n as the index of its loads; the high ones the sums and 2^15. Four columns
 * at a time; the n mod 4 others come first. SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_PAIR_DOTS_ARMV6M_H
#define MQ_PAIR_DOTS_ARMV6M_H

#include "mq_armv6m.h"

/* clang-format off */

/* T in `t`; S and H in the high registers. */
#define MQ_ADD_PAIR(t, s, h)                                                                                           \
    "add " s ", " t "\n add " t ", r11\n asrs " t ", " t ", #16\n add " h ", " t "\n"

#define MQ_PAIR_COLUMN                                                                                                 \
    "ldrsb r6, [r1, r7]\n ldmia r0!, {r2, r3}\n muls r2, r6, r2\n muls r3, r6, r3\n"                                   \
    MQ_ADD_PAIR("r2", "r9", "r8") MQ_ADD_PAIR("r3", "r10", "r12")                                                      \
    "adds r7, r7, #1\n"

/* The flags tell whether it was the last. */
#define MQ_PAIR_COLUMNS                                                                                                \
    "ldrsb r6, [r1, r7]\n adds r7, r7, #1\n ldmia r0!, {r2, r3, r4, r5}\n"                                             \
    "muls r2, r6, r2\n muls r3, r6, r3\n"                                                                              \
    "ldrsb r6, [r1, r7]\n muls r4, r6, r4\n adds r2, r2, r4\n muls r5, r6, r5\n adds r3, r3, r5\n"                     \
    MQ_ADD_PAIR("r2", "r9", "r8") MQ_ADD_PAIR("r3", "r10", "r12")                                                      \
    "adds r7, r7, #1\n"

/* -sum_k w[k] x[k] of four vectors, whose pairs lie side by side: two words for each column. */
MQ_NAKED void mq_dots_of_pairs(MQ_READ_BELOW const uint32_t *pairs, MQ_READ_BELOW const int8_t *w,
                               MQ_READ_BELOW uint32_t n, MQ_READ_BELOW int32_t *sums) {
    __asm__(".syntax unified\n"
            "push {r4, r5, r6, r7, lr}\n"
            "mov r4, r8\n mov r5, r9\n mov r6, r10\n mov r7, r11\n"
            "push {r3, r4, r5, r6, r7}\n"
            "adds r1, r1, r2\n rsbs r7, r2, #0\n"
            "movs r3, #3\n bics r2, r3\n rsbs r2, r2, #0\n mov lr, r2\n"
            "movs r2, #0\n mov r8, r2\n mov r9, r2\n mov r10, r2\n mov r12, r2\n"
            "movs r2, #128\n lsls r2, r2, #8\n mov r11, r2\n"
            "1: cmp r7, lr\n beq 2f\n" MQ_PAIR_COLUMN "b 1b\n"
            "2: cmp r7, #0\n beq 4f\n"
            "3:\n" MQ_PAIR_COLUMNS MQ_PAIR_COLUMNS "bne 3b\n"
            "4: mov r0, r8\n lsls r2, r0, #16\n mov r1, r9\n subs r1, r1, r2\n"
            "mov r2, r12\n lsls r4, r2, #16\n mov r3, r10\n subs r3, r3, r4\n"
            "pop {r7}\n stmia r7!, {r0, r1, r2, r3}\n"
            "pop {r4, r5, r6, r7}\n mov r8, r4\n mov r9, r5\n mov r10, r6\n mov r11, r7\n"
            "pop {r4, r5, r6, r7, pc}\n");
}

/* mq_pair_dots.h has what. r7: H, lr: S, r12: the requantiser. */
MQ_NAKED mq_two_values mq_two_outputs_down(MQ_READ_BELOW const uint32_t *pairs, MQ_READ_BELOW const mq_windows *w) {
    __asm__(".syntax unified\n"
            "push {r4, r5, r6, r7, lr}\n"
            "ldmia r1!, {r2, r3, r6, r7}\n mov lr, r6\n mov r12, r1\n"
            "1: ldmia r2!, {r1, r4, r5, r6}\n"
            "ldr r1, [r0, r1]\n muls r1, r4, r1\n ldr r5, [r0, r5]\n muls r5, r6, r5\n adds r1, r1, r5\n"
            "add lr, r1\n asrs r1, r1, #16\n adcs r7, r1\n" /* the carry is bit 15 */
            "cmp r2, r3\n bne 1b\n"
            "lsls r0, r7, #16\n mov r6, lr\n subs r6, r6, r0\n" /* the second sum */
            "movs r0, r7\n mov r1, r12\n" MQ_REQUANTISE "movs r7, r0\n"
            "movs r0, r6\n mov r1, r12\n" MQ_REQUANTISE "movs r1, r0\n"
            "movs r0, r7\n"
            "pop {r4, r5, r6, r7, pc}\n");
}

/* clang-format on */

#endif
