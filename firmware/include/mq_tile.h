/* Products of packed s8 rows with two vectors at once: the arithmetic of mq_rows.h for a pair of rows (a, b), where a
 * word of weights is taken apart once for both vectors: LDM of x, LDRD of w, two SXTB16 and eight SMLAD make 16
 * products.
 *
 * The vectors, s16, lie side by side: columns 0 1 of the first, 0 1 of the second, 2 3 of the first, 2 3 of the second,
 * and so on; missing columns are 0. Weights: pairs of rows, one after the other, four columns after four.
 * mcu_quant/ops/common/packing.py packs.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_TILE_H
#define MQ_TILE_H

#include "mq_dsp.h"

/* A and S of both vectors, as in mq_rows.h. */
typedef struct {
    int32_t a;
    int32_t s;
    int32_t a_next;
    int32_t s_next;
} mq_tile_sums;

/* Four columns. */
static inline mq_tile_sums mq_tile_step(mq_tile_sums acc, const mq_word **x, const mq_word **w) {
    const mq_four_words v = mq_ldm4(x);
    const mq_two_words h = mq_ldrd(w);
    acc.s = mq_smlad(h.a, v.a, acc.s);
    acc.s_next = mq_smlad(h.a, v.b, acc.s_next);
    const uint32_t first = mq_sxtb16_odd(h.a);
    acc.a = mq_smlad(first, v.a, acc.a);
    acc.a_next = mq_smlad(first, v.b, acc.a_next);
    acc.s = mq_smlad(h.b, v.c, acc.s);
    acc.s_next = mq_smlad(h.b, v.d, acc.s_next);
    const uint32_t second = mq_sxtb16_odd(h.b);
    acc.a = mq_smlad(second, v.c, acc.a);
    acc.a_next = mq_smlad(second, v.d, acc.a_next);
    return acc;
}

/* Sums of a pair of rows over `fours` times four columns. */
static inline mq_tile_sums mq_tile(const mq_word *x, const mq_word *w, uint32_t fours) {
    mq_tile_sums acc = {0, 0, 0, 0};
    for (const mq_word *end = x + (fours & ~1u) * 4u; x != end;) {
        acc = mq_tile_step(acc, &x, &w);
        acc = mq_tile_step(acc, &x, &w);
    }
    if (fours & 1u) {
        acc = mq_tile_step(acc, &x, &w);
    }
    return acc;
}

/* 128 sum x of both vectors, modulo 2^32. */
static inline void mq_tile_offsets(const mq_word *x, uint32_t fours, int32_t *offsets) {
    int32_t sum = 0;
    int32_t sum_next = 0;
    for (const mq_word *end = x + fours * 4u; x != end;) {
        const mq_four_words v = mq_ldm4(&x);
        sum = mq_smlad(v.a, 0x00010001u, mq_smlad(v.c, 0x00010001u, sum));
        sum_next = mq_smlad(v.b, 0x00010001u, mq_smlad(v.d, 0x00010001u, sum_next));
    }
    offsets[0] = (int32_t)((uint32_t)sum << 7);
    offsets[1] = (int32_t)((uint32_t)sum_next << 7);
}

/* B = S - 256 A - 128 sum x, modulo 2^32. */
static inline int32_t mq_tile_second(int32_t s, int32_t a, int32_t offset) {
    return (int32_t)((uint32_t)s - ((uint32_t)a << 8) - (uint32_t)offset);
}

/* Where column k of the first vector lies; the second is two further. */
static inline uint32_t mq_tile_at(uint32_t k) {
    return (k >> 1) * 4u + (k & 1u);
}

#endif
