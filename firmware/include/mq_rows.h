/* Products of packed s8 matrices with vectors: sum_i w[o, i] x[i] for four rows o at a time, x in s8 or s16.
 *
 * Two rows a and b lie in one sequence of halfwords, h[i] = 256 a[i] + (b[i] + 128). Modulo 2^32,
 *
 *   A = sum_i a[i] x[i]        a: the upper bytes, with SXTB16
 *   S = sum_i h[i] x[i]        h: the words as they are stored
 *   B = sum_i b[i] x[i] = S - 256 A - 128 sum_i x[i]
 *
 * that is LDR, SXTB16 and two SMLAD for four products, instead of LDR, two SXTB16 and two SMLAD. A and B fit 32 bits
 * (proven when the weights were quantised), so they are exact for every x and any number of columns. sum_i x[i] is
 * made once for all rows.
 *
 * Order in memory: blocks of four rows, the last of two where one or two rows are left; in a block four columns after
 * four, missing rows and columns 0. Four columns of two rows are two words. For x in s8 these are columns 0 2 and 1 3,
 * as SXTB16 makes of four bytes; for x in s16 columns 0 1 and 2 3. Rows (0, 1) come before rows (2, 3).
 * mcu_quant/ops/common/packing.py packs.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_ROWS_H
#define MQ_ROWS_H

#include "mq_dsp.h"

/* Words of one group of rows. */
static inline uint32_t mq_rows_words(uint32_t rows, uint32_t columns) {
    return (rows + 1u) / 2u * ((columns + 3u) / 4u * 2u);
}

/* Accumulators of four rows: A and S of rows (0, 1), then of (2, 3). */
typedef struct {
    int32_t a;
    int32_t s;
    int32_t c;
    int32_t t;
} mq_four_sums;

/* Adds four columns of four rows: x holds the columns of the first word, x_next those of the second. */
static inline mq_four_sums mq_block4(mq_four_sums acc, uint32_t x, uint32_t x_next, const mq_word **w) {
    const mq_four_words v = mq_ldm4(w);
    acc.s = mq_smlad(v.a, x, acc.s);
    acc.a = mq_smlad(mq_sxtb16_odd(v.a), x, acc.a);
    acc.s = mq_smlad(v.b, x_next, acc.s);
    acc.a = mq_smlad(mq_sxtb16_odd(v.b), x_next, acc.a);
    acc.t = mq_smlad(v.c, x, acc.t);
    acc.c = mq_smlad(mq_sxtb16_odd(v.c), x, acc.c);
    acc.t = mq_smlad(v.d, x_next, acc.t);
    acc.c = mq_smlad(mq_sxtb16_odd(v.d), x_next, acc.c);
    return acc;
}

/* Four columns of two rows; c and t stay. */
static inline mq_four_sums mq_block2(mq_four_sums acc, uint32_t x, uint32_t x_next, const mq_word **w) {
    const uint32_t v = (*w)[0];
    const uint32_t v_next = (*w)[1];
    *w += 2;
    acc.s = mq_smlad(v, x, acc.s);
    acc.a = mq_smlad(mq_sxtb16_odd(v), x, acc.a);
    acc.s = mq_smlad(v_next, x_next, acc.s);
    acc.a = mq_smlad(mq_sxtb16_odd(v_next), x_next, acc.a);
    return acc;
}

/* S - 256 A - 128 sum x, modulo 2^32. */
static inline int32_t mq_second_row(int32_t s, int32_t a, int32_t offset) {
    return (int32_t)((uint32_t)s - ((uint32_t)a << 8) - (uint32_t)offset);
}

/* The four sums in the order of the rows. offset: 128 sum x. */
static inline void mq_store_sums(mq_four_sums acc, int32_t offset, int32_t *sums) {
    sums[0] = acc.a;
    sums[1] = mq_second_row(acc.s, acc.a, offset);
    sums[2] = acc.c;
    sums[3] = mq_second_row(acc.t, acc.c, offset);
}

/* 128 sum x, modulo 2^32: what packed rows need to know of x. */
static inline int32_t mq_offset_s8(const int8_t *x, uint32_t columns) {
    const uint32_t ones = 0x00010001u;
    int32_t sum = 0;
    for (; columns >= 4u; columns -= 4u) {
        const uint32_t word = mq_next_bytes(&x);
        sum = mq_smlad(mq_sxtab16_odd(mq_sxtb16(word), word), ones, sum);
    }
    const uint32_t word = mq_load_some_bytes(x, columns);
    sum = mq_smlad(mq_sxtab16_odd(mq_sxtb16(word), word), ones, sum);
    return (int32_t)((uint32_t)sum << 7);
}

static inline int32_t mq_offset_s16(const int16_t *x, uint32_t columns) {
    int32_t sum = 0;
    for (; columns >= 2u; columns -= 2u) {
        sum = mq_smlad(mq_next_halves(&x), 0x00010001u, sum);
    }
    sum += columns ? x[0] : 0;
    return (int32_t)((uint32_t)sum << 7);
}

/* Four columns of x in s8 against four rows; x moves on. */
static inline mq_four_sums mq_step4_s8(mq_four_sums acc, const int8_t **x, const mq_word **w) {
    const uint32_t word = mq_next_bytes(x);
    return mq_block4(acc, mq_sxtb16(word), mq_sxtb16_odd(word), w);
}

/* The same in s16. */
static inline mq_four_sums mq_step4_s16(mq_four_sums acc, const int16_t **x, const mq_word **w) {
    const uint32_t first = mq_next_halves(x);
    const uint32_t second = mq_next_halves(x);
    return mq_block4(acc, first, second, w);
}

/* Sums of a block of four rows with x in s8. Returns where the next block begins. */
MQ_OUT_OF_LINE const mq_word *mq_rows4_s8(const int8_t *x, const mq_word *w, uint32_t columns, int32_t offset,
                                          int32_t *sums) {
    mq_four_sums acc = {0, 0, 0, 0};
    for (const int8_t *end = x + (columns & ~15u); x != end;) {
        acc = mq_step4_s8(acc, &x, &w);
        acc = mq_step4_s8(acc, &x, &w);
        acc = mq_step4_s8(acc, &x, &w);
        acc = mq_step4_s8(acc, &x, &w);
    }
    for (const int8_t *end = x + (columns & 12u); x != end;) {
        acc = mq_step4_s8(acc, &x, &w);
    }
    if (columns & 3u) {
        const uint32_t word = mq_load_some_bytes(x, columns & 3u);
        acc = mq_block4(acc, mq_sxtb16(word), mq_sxtb16_odd(word), &w);
    }
    mq_store_sums(acc, offset, sums);
    return w;
}

/* Sums of the last block of two rows, of which one may be missing. */
MQ_OUT_OF_LINE const mq_word *mq_rows2_s8(const int8_t *x, const mq_word *w, uint32_t columns, int32_t offset,
                                          int32_t *sums) {
    mq_four_sums acc = {0, 0, 0, 0};
    for (const int8_t *end = x + (columns & ~3u); x != end;) {
        const uint32_t word = mq_next_bytes(&x);
        acc = mq_block2(acc, mq_sxtb16(word), mq_sxtb16_odd(word), &w);
    }
    if (columns & 3u) {
        const uint32_t word = mq_load_some_bytes(x, columns & 3u);
        acc = mq_block2(acc, mq_sxtb16(word), mq_sxtb16_odd(word), &w);
    }
    mq_store_sums(acc, offset, sums);
    return w;
}

/* The last `count` < 4 columns in s16, as two words. */
static inline void mq_tail_s16(const int16_t *x, uint32_t count, uint32_t *first, uint32_t *second) {
    *first = mq_pack(x[0], count > 1u ? x[1] : 0);
    *second = count > 2u ? (uint32_t)(uint16_t)x[2] : 0u;
}

/* The same with x in s16. */
MQ_OUT_OF_LINE const mq_word *mq_rows4_s16(const int16_t *x, const mq_word *w, uint32_t columns, int32_t offset,
                                           int32_t *sums) {
    mq_four_sums acc = {0, 0, 0, 0};
    for (const int16_t *end = x + (columns & ~15u); x != end;) {
        acc = mq_step4_s16(acc, &x, &w);
        acc = mq_step4_s16(acc, &x, &w);
        acc = mq_step4_s16(acc, &x, &w);
        acc = mq_step4_s16(acc, &x, &w);
    }
    for (const int16_t *end = x + (columns & 12u); x != end;) {
        acc = mq_step4_s16(acc, &x, &w);
    }
    if (columns & 3u) {
        uint32_t first, second;
        mq_tail_s16(x, columns & 3u, &first, &second);
        acc = mq_block4(acc, first, second, &w);
    }
    mq_store_sums(acc, offset, sums);
    return w;
}

MQ_OUT_OF_LINE const mq_word *mq_rows2_s16(const int16_t *x, const mq_word *w, uint32_t columns, int32_t offset,
                                           int32_t *sums) {
    mq_four_sums acc = {0, 0, 0, 0};
    for (const int16_t *end = x + (columns & ~3u); x != end;) {
        const uint32_t first = mq_next_halves(&x);
        const uint32_t second = mq_next_halves(&x);
        acc = mq_block2(acc, first, second, &w);
    }
    if (columns & 3u) {
        uint32_t first, second;
        mq_tail_s16(x, columns & 3u, &first, &second);
        acc = mq_block2(acc, first, second, &w);
    }
    mq_store_sums(acc, offset, sums);
    return w;
}

/* Sums of the next rows: four, or the last two if `left` is at most 2. */
static inline const mq_word *mq_rows_s8(const int8_t *x, const mq_word *w, uint32_t columns, uint32_t left,
                                        int32_t offset, int32_t *sums) {
    return left > 2u ? mq_rows4_s8(x, w, columns, offset, sums) : mq_rows2_s8(x, w, columns, offset, sums);
}

static inline const mq_word *mq_rows_s16(const int16_t *x, const mq_word *w, uint32_t columns, uint32_t left,
                                         int32_t offset, int32_t *sums) {
    return left > 2u ? mq_rows4_s16(x, w, columns, offset, sums) : mq_rows2_s16(x, w, columns, offset, sums);
}

#endif
