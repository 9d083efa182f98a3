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

/* What a matrix lies in memory as. */
typedef mq_word mq_weights;

/* Words of one group of rows. */
static inline uint32_t mq_rows_words(uint32_t rows, uint32_t columns) {
    return (rows + 1u) / 2u * ((columns + 3u) / 4u * 2u);
}

/* Rows `first` (a multiple of 4) and on of a group. */
static inline const mq_word *mq_rows_from(const int8_t *w, uint32_t group, uint32_t first, uint32_t rows,
                                          uint32_t columns) {
    const mq_word *words = (const mq_word *)(const void *)w;
    return words + group * mq_rows_words(rows, columns) + mq_rows_words(first, columns);
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

/* --- x in s8 --- */

/* A vector, with what is made of it once for all rows: the columns behind the last four, and 128 sum x. */
typedef struct {
    const int8_t *x;
    uint32_t columns;
    uint32_t tail;
    int32_t offset;
} mq_vector_s8;

static inline mq_vector_s8 mq_vector_of_s8(const int8_t *x, uint32_t columns) {
    mq_vector_s8 v = {x, columns, 0, 0};
    for (const int8_t *end = x + (columns & ~3u); x != end;) {
        const uint32_t word = mq_next_bytes(&x);
        v.offset = mq_smlad(mq_sxtab16_odd(mq_sxtb16(word), word), 0x00010001u, v.offset);
    }
    v.tail = mq_load_some_bytes(x, columns & 3u);
    v.offset = mq_smlad(mq_sxtab16_odd(mq_sxtb16(v.tail), v.tail), 0x00010001u, v.offset);
    v.offset = (int32_t)((uint32_t)v.offset << 7);
    return v;
}

/* Four columns against four rows; x moves on. */
static inline mq_four_sums mq_step4_s8(mq_four_sums acc, const int8_t **x, const mq_word **w) {
    const uint32_t word = mq_next_bytes(x);
    return mq_block4(acc, mq_sxtb16(word), mq_sxtb16_odd(word), w);
}

/* Sums of a block of four rows. Returns where the next block begins. */
MQ_OUT_OF_LINE const mq_word *mq_rows4_s8(const mq_vector_s8 *v, const mq_word *w, int32_t *sums) {
    mq_four_sums acc = {0, 0, 0, 0};
    const int8_t *x = v->x;
    for (const int8_t *end = x + (v->columns & ~31u); x != end;) {
        acc = mq_step4_s8(acc, &x, &w);
        acc = mq_step4_s8(acc, &x, &w);
        acc = mq_step4_s8(acc, &x, &w);
        acc = mq_step4_s8(acc, &x, &w);
        acc = mq_step4_s8(acc, &x, &w);
        acc = mq_step4_s8(acc, &x, &w);
        acc = mq_step4_s8(acc, &x, &w);
        acc = mq_step4_s8(acc, &x, &w);
    }
    for (const int8_t *end = x + (v->columns & 28u); x != end;) {
        acc = mq_step4_s8(acc, &x, &w);
    }
    if (v->columns & 3u) {
        acc = mq_block4(acc, mq_sxtb16(v->tail), mq_sxtb16_odd(v->tail), &w);
    }
    mq_store_sums(acc, v->offset, sums);
    return w;
}

/* Sums of the last block of two rows, of which one may be missing. */
MQ_OUT_OF_LINE const mq_word *mq_rows2_s8(const mq_vector_s8 *v, const mq_word *w, int32_t *sums) {
    mq_four_sums acc = {0, 0, 0, 0};
    const int8_t *x = v->x;
    for (const int8_t *end = x + (v->columns & ~3u); x != end;) {
        const uint32_t word = mq_next_bytes(&x);
        acc = mq_block2(acc, mq_sxtb16(word), mq_sxtb16_odd(word), &w);
    }
    if (v->columns & 3u) {
        acc = mq_block2(acc, mq_sxtb16(v->tail), mq_sxtb16_odd(v->tail), &w);
    }
    mq_store_sums(acc, v->offset, sums);
    return w;
}

/* Sums of the next rows: four, or the last two if `left` is at most 2. */
static inline const mq_word *mq_rows_s8(const mq_vector_s8 *v, const mq_word *w, uint32_t left, int32_t *sums) {
    return left > 2u ? mq_rows4_s8(v, w, sums) : mq_rows2_s8(v, w, sums);
}

/* The sum of a row without a second: A of the last block. */
MQ_OUT_OF_LINE int32_t mq_row_alone_s8(const int8_t *x, const mq_word *w, uint32_t columns) {
    int32_t acc = 0;
    for (const int8_t *end = x + (columns & ~3u); x != end;) {
        const uint32_t word = mq_next_bytes(&x);
        const mq_two_words v = mq_ldrd(&w);
        acc = mq_smlad(mq_sxtb16_odd(v.a), mq_sxtb16(word), acc);
        acc = mq_smlad(mq_sxtb16_odd(v.b), mq_sxtb16_odd(word), acc);
    }
    if (columns & 3u) {
        const uint32_t word = mq_load_some_bytes(x, columns & 3u);
        acc = mq_smlad(mq_sxtb16_odd(w[0]), mq_sxtb16(word), acc);
        acc = mq_smlad(mq_sxtb16_odd(w[1]), mq_sxtb16_odd(word), acc);
    }
    return acc;
}

/* --- x in s16 --- */

/* As above; the columns behind the last four are two words. */
typedef struct {
    const int16_t *x;
    uint32_t columns;
    uint32_t tail;
    uint32_t tail_next;
    int32_t offset;
} mq_vector_s16;

static inline mq_vector_s16 mq_vector_of_s16(const int16_t *x, uint32_t columns) {
    mq_vector_s16 v = {x, columns, 0, 0, 0};
    for (const int16_t *end = x + (columns & ~3u); x != end;) {
        v.offset = mq_smlad(mq_next_halves(&x), 0x00010001u, v.offset);
    }
    const uint32_t left = columns & 3u;
    v.tail = mq_pack(left > 0u ? x[0] : 0, left > 1u ? x[1] : 0);
    v.tail_next = mq_pack(left > 2u ? x[2] : 0, 0);
    v.offset = mq_smlad(v.tail_next, 0x00010001u, mq_smlad(v.tail, 0x00010001u, v.offset));
    v.offset = (int32_t)((uint32_t)v.offset << 7);
    return v;
}

static inline mq_four_sums mq_step4_s16(mq_four_sums acc, const int16_t **x, const mq_word **w) {
    const uint32_t first = mq_next_halves(x);
    const uint32_t second = mq_next_halves(x);
    return mq_block4(acc, first, second, w);
}

MQ_OUT_OF_LINE const mq_word *mq_rows4_s16(const mq_vector_s16 *v, const mq_word *w, int32_t *sums) {
    mq_four_sums acc = {0, 0, 0, 0};
    const int16_t *x = v->x;
    for (const int16_t *end = x + (v->columns & ~31u); x != end;) {
        acc = mq_step4_s16(acc, &x, &w);
        acc = mq_step4_s16(acc, &x, &w);
        acc = mq_step4_s16(acc, &x, &w);
        acc = mq_step4_s16(acc, &x, &w);
        acc = mq_step4_s16(acc, &x, &w);
        acc = mq_step4_s16(acc, &x, &w);
        acc = mq_step4_s16(acc, &x, &w);
        acc = mq_step4_s16(acc, &x, &w);
    }
    for (const int16_t *end = x + (v->columns & 28u); x != end;) {
        acc = mq_step4_s16(acc, &x, &w);
    }
    if (v->columns & 3u) {
        acc = mq_block4(acc, v->tail, v->tail_next, &w);
    }
    mq_store_sums(acc, v->offset, sums);
    return w;
}

MQ_OUT_OF_LINE const mq_word *mq_rows2_s16(const mq_vector_s16 *v, const mq_word *w, int32_t *sums) {
    mq_four_sums acc = {0, 0, 0, 0};
    const int16_t *x = v->x;
    for (const int16_t *end = x + (v->columns & ~3u); x != end;) {
        const uint32_t first = mq_next_halves(&x);
        const uint32_t second = mq_next_halves(&x);
        acc = mq_block2(acc, first, second, &w);
    }
    if (v->columns & 3u) {
        acc = mq_block2(acc, v->tail, v->tail_next, &w);
    }
    mq_store_sums(acc, v->offset, sums);
    return w;
}

MQ_OUT_OF_LINE int32_t mq_row_alone_s16(const int16_t *x, const mq_word *w, uint32_t columns) {
    int32_t acc = 0;
    for (const int16_t *end = x + (columns & ~3u); x != end;) {
        const uint32_t first = mq_next_halves(&x);
        const uint32_t second = mq_next_halves(&x);
        const mq_two_words v = mq_ldrd(&w);
        acc = mq_smlad(mq_sxtb16_odd(v.a), first, acc);
        acc = mq_smlad(mq_sxtb16_odd(v.b), second, acc);
    }
    const uint32_t left = columns & 3u;
    if (left > 0u) {
        acc = mq_smlad(mq_sxtb16_odd(w[0]), mq_pack(x[0], left > 1u ? x[1] : 0), acc);
    }
    if (left > 2u) {
        acc = mq_smlad(mq_sxtb16_odd(w[1]), mq_pack(x[2], 0), acc);
    }
    return acc;
}

static inline const mq_word *mq_rows_s16(const mq_vector_s16 *v, const mq_word *w, uint32_t left, int32_t *sums) {
    return left > 2u ? mq_rows4_s16(v, w, sums) : mq_rows2_s16(v, w, sums);
}

#endif
