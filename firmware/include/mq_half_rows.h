/* Products of packed f16 matrices with vectors: y[o] += sum_i w[o, i] x[i] for eight rows o at a time, in f32.
 *
 * Every product and every sum is rounded to f32, in the order of i: the bits are those of the plain loop. For two
 * columns of eight rows VLDM brings the weights; VCVTB and VCVTT make f32 of a word's two halves, VMLA multiplies,
 * rounds, adds and rounds. What is made of x serves eight rows: 2.4 instructions for a product.
 *
 * Order in memory: blocks of eight rows; in a block two columns after two, a word for each row. The rows that are left
 * follow one by one. Where the columns are odd, the last word's upper half is not used.
 * mcu_quant/ops/common/packing.py packs.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_HALF_ROWS_H
#define MQ_HALF_ROWS_H

#include "mq_dsp_float.h"

/* Words of one group of rows. */
static inline uint32_t mq_half_rows_words(uint32_t rows, uint32_t columns) {
    return rows * ((columns + 1u) / 2u);
}

/* Rows `first` (a multiple of 8) and on of a group. */
static inline const mq_word *mq_half_rows_from(const mq_f16 *w, uint32_t group, uint32_t first, uint32_t rows,
                                               uint32_t columns) {
    return (const mq_word *)(const void *)w + mq_half_rows_words(group * rows + first, columns);
}

/* Accumulators of eight rows. */
typedef struct {
    float a;
    float b;
    float c;
    float d;
    float e;
    float f;
    float g;
    float h;
} mq_eight_sums;

/* Adds column 0 of the pair that `w` holds for eight rows. */
static inline mq_eight_sums mq_half_even(mq_eight_sums acc, float x, mq_eight_pairs w) {
    acc.a = mq_vmla(acc.a, mq_vcvtb(w.a), x);
    acc.b = mq_vmla(acc.b, mq_vcvtb(w.b), x);
    acc.c = mq_vmla(acc.c, mq_vcvtb(w.c), x);
    acc.d = mq_vmla(acc.d, mq_vcvtb(w.d), x);
    acc.e = mq_vmla(acc.e, mq_vcvtb(w.e), x);
    acc.f = mq_vmla(acc.f, mq_vcvtb(w.f), x);
    acc.g = mq_vmla(acc.g, mq_vcvtb(w.g), x);
    acc.h = mq_vmla(acc.h, mq_vcvtb(w.h), x);
    return acc;
}

/* Adds column 1. */
static inline mq_eight_sums mq_half_odd(mq_eight_sums acc, float x, mq_eight_pairs w) {
    acc.a = mq_vmla(acc.a, mq_vcvtt(w.a), x);
    acc.b = mq_vmla(acc.b, mq_vcvtt(w.b), x);
    acc.c = mq_vmla(acc.c, mq_vcvtt(w.c), x);
    acc.d = mq_vmla(acc.d, mq_vcvtt(w.d), x);
    acc.e = mq_vmla(acc.e, mq_vcvtt(w.e), x);
    acc.f = mq_vmla(acc.f, mq_vcvtt(w.f), x);
    acc.g = mq_vmla(acc.g, mq_vcvtt(w.g), x);
    acc.h = mq_vmla(acc.h, mq_vcvtt(w.h), x);
    return acc;
}

/* Two columns of eight rows; x moves on. */
static inline mq_eight_sums mq_half_step(mq_eight_sums acc, const mq_f16 **x, const mq_word **w) {
    const mq_half_pair pair = mq_next_pair(x);
    const mq_eight_pairs v = mq_vldm8(w);
    acc = mq_half_even(acc, mq_vcvtb(pair), v);
    return mq_half_odd(acc, mq_vcvtt(pair), v);
}

/* Adds to the sums of a block of eight rows. */
MQ_OUT_OF_LINE void mq_half_rows8(const mq_f16 *x, uint32_t columns, const mq_word *w, float *sums) {
    mq_eight_sums acc = {sums[0], sums[1], sums[2], sums[3], sums[4], sums[5], sums[6], sums[7]};
    for (const mq_f16 *end = x + (columns & ~7u); x != end;) {
        acc = mq_half_step(acc, &x, &w);
        acc = mq_half_step(acc, &x, &w);
        acc = mq_half_step(acc, &x, &w);
        acc = mq_half_step(acc, &x, &w);
    }
    for (const mq_f16 *end = x + (columns & 6u); x != end;) {
        acc = mq_half_step(acc, &x, &w);
    }
    if (columns & 1u) {
        acc = mq_half_even(acc, mq_f16_to_f32(*x), mq_vldm8(&w));
    }
    sums[0] = acc.a;
    sums[1] = acc.b;
    sums[2] = acc.c;
    sums[3] = acc.d;
    sums[4] = acc.e;
    sums[5] = acc.f;
    sums[6] = acc.g;
    sums[7] = acc.h;
}

/* Adds to the sum of one row. */
MQ_OUT_OF_LINE float mq_half_row(const mq_f16 *x, uint32_t columns, const mq_word *w, float acc) {
    for (const mq_f16 *end = x + (columns & ~1u); x != end;) {
        const mq_half_pair pair = mq_next_pair(&x);
        const mq_half_pair v = mq_pair_of(*w++);
        acc = mq_vmla(acc, mq_vcvtb(v), mq_vcvtb(pair));
        acc = mq_vmla(acc, mq_vcvtt(v), mq_vcvtt(pair));
    }
    if (columns & 1u) {
        acc = mq_vmla(acc, mq_vcvtb(mq_pair_of(*w)), mq_f16_to_f32(*x));
    }
    return acc;
}

/* Adds to the sums of the next `count` <= 8 rows; w as mq_half_rows_from gives it. */
static inline void mq_half_rows(const mq_f16 *x, uint32_t columns, const mq_word *w, uint32_t count, float *sums) {
    if (count == 8u) {
        mq_half_rows8(x, columns, w, sums);
        return;
    }
    for (uint32_t k = 0; k < count; k++) {
        sums[k] = mq_half_row(x, columns, w, sums[k]);
        w += (columns + 1u) / 2u;
    }
}

#endif
