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

/* Sums of both vectors: A of the first row, and on the way S, in the end B of the second. */
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

/* B = S - 256 A - 128 sum x, modulo 2^32; the last term is where the sums of mq_tile_begin begin. */
static inline int32_t mq_tile_second(int32_t s, int32_t a) {
    return (int32_t)((uint32_t)s - ((uint32_t)a << 8));
}

/* What S begins with for both vectors of `fours` times four columns: -128 sum x, modulo 2^32. */
static inline void mq_tile_begin(const mq_word *x, uint32_t fours, int32_t *begin) {
    int32_t sum = 0;
    int32_t sum_next = 0;
    for (const mq_word *end = x + fours * 4u; x != end;) {
        const mq_four_words v = mq_ldm4(&x);
        sum = mq_smlad(v.a, 0x00010001u, mq_smlad(v.c, 0x00010001u, sum));
        sum_next = mq_smlad(v.b, 0x00010001u, mq_smlad(v.d, 0x00010001u, sum_next));
    }
    begin[0] = (int32_t)(0u - ((uint32_t)sum << 7));
    begin[1] = (int32_t)(0u - ((uint32_t)sum_next << 7));
}

/* Sums of a pair of rows with both vectors; w moves on to the next pair. */
static inline mq_tile_sums mq_tile(mq_tile_sums acc, const mq_word *x, const mq_word **w, uint32_t fours) {
    for (const mq_word *end = x + (fours & ~3u) * 4u; x != end;) {
        acc = mq_tile_step(acc, &x, w);
        acc = mq_tile_step(acc, &x, w);
        acc = mq_tile_step(acc, &x, w);
        acc = mq_tile_step(acc, &x, w);
    }
    for (const mq_word *end = x + (fours & 3u) * 4u; x != end;) {
        acc = mq_tile_step(acc, &x, w);
    }
    acc.s = mq_tile_second(acc.s, acc.a);
    acc.s_next = mq_tile_second(acc.s_next, acc.a_next);
    return acc;
}

typedef struct {
    int32_t a;
    int32_t b;
} mq_two_rows;

/* A and B of one vector: x is its first word, every second word is its own. */
static inline mq_two_rows mq_tile_one(const mq_word *x, const mq_word *w, uint32_t fours, int32_t begin) {
    int32_t s = begin;
    int32_t a = 0;
    for (const mq_word *end = x + fours * 4u; x != end; x += 4) {
        const mq_two_words h = mq_ldrd(&w);
        s = mq_smlad(h.a, x[0], s);
        a = mq_smlad(mq_sxtb16_odd(h.a), x[0], a);
        s = mq_smlad(h.b, x[2], s);
        a = mq_smlad(mq_sxtb16_odd(h.b), x[2], a);
    }
    const mq_two_rows sums = {a, mq_tile_second(s, a)};
    return sums;
}

/* A of a row without a second, with both vectors. */
static inline mq_two_rows mq_tile_alone(const mq_word *x, const mq_word *w, uint32_t fours) {
    mq_two_rows acc = {0, 0};
    for (const mq_word *end = x + fours * 4u; x != end;) {
        const mq_four_words v = mq_ldm4(&x);
        const mq_two_words h = mq_ldrd(&w);
        const uint32_t first = mq_sxtb16_odd(h.a), second = mq_sxtb16_odd(h.b);
        acc.a = mq_smlad(second, v.c, mq_smlad(first, v.a, acc.a));
        acc.b = mq_smlad(second, v.d, mq_smlad(first, v.b, acc.b));
    }
    return acc;
}

/* Where column k of the first vector lies; the second is two further. */
static inline uint32_t mq_tile_at(uint32_t k) {
    return (k >> 1) * 4u + (k & 1u);
}

#endif
