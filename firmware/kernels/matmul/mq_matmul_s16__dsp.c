/* A row of a with two columns of b at a time. The columns lie side by side: two steps k of the first, two of the
 * second, and so on; LDR, LDRD and two SMLALD make four products.
 *
 * A single row does not pay for laying out columns: two rows of two columns are read where they lie, and PKH makes the
 * same words of them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_dsp.h"
#include "mq_fixed.h"
#include "mq_matmul_pairs.h"

/* Sums of a row with both columns. */
typedef struct {
    int64_t a;
    int64_t b;
} two_sums;

/* Lays out the two columns at b, whose rows are `step` apart; a 0 behind the last value. */
MQ_OUT_OF_LINE void lay_out(mq_word *room, const int16_t *b, int32_t step, int32_t depth) {
    for (; depth >= 2; depth -= 2) {
        const uint32_t first = mq_load_halves(b), second = mq_load_halves(b + step);
        *room++ = mq_pkhbt(first, second);
        *room++ = mq_pkhtb(first, second);
        b += 2 * step;
    }
    if (depth > 0) {
        room[0] = mq_pack(b[0], 0);
        room[1] = mq_pack(b[1], 0);
    }
}

/* The same for a column alone, and one of zeros. */
MQ_OUT_OF_LINE void lay_out_alone(mq_word *room, const int16_t *b, int32_t step, int32_t depth) {
    for (; depth > 0; depth -= 2) {
        *room++ = mq_pack(b[0], depth > 1 ? b[step] : 0);
        *room++ = 0;
        b += 2 * step;
    }
}

static inline two_sums add_two(two_sums acc, const int16_t **row, const mq_word **columns) {
    const uint32_t x = mq_next_halves(row);
    const mq_two_words v = mq_ldrd(columns);
    acc.a = mq_smlald(x, v.a, acc.a);
    acc.b = mq_smlald(x, v.b, acc.b);
    return acc;
}

static two_sums multiply(const int16_t *row, const mq_word *columns, int32_t depth) {
    two_sums acc = {0, 0};
    for (const int16_t *end = row + (depth & ~7); row != end;) {
        acc = add_two(acc, &row, &columns);
        acc = add_two(acc, &row, &columns);
        acc = add_two(acc, &row, &columns);
        acc = add_two(acc, &row, &columns);
    }
    for (const int16_t *end = row + (depth & 6); row != end;) {
        acc = add_two(acc, &row, &columns);
    }
    if (depth & 1) {
        const uint32_t x = mq_pack(row[0], 0);
        acc.a = mq_smlald(x, columns[0], acc.a);
        acc.b = mq_smlald(x, columns[1], acc.b);
    }
    return acc;
}

static inline int16_t finish(int64_t acc, const mq_matmul_wide_params *p) {
    return mq_sat_s16(mq_requantise64(acc, p->narrow, p->multiplier, p->shift));
}

/* Columns n and n + 1 of one product, or n alone if `wide` is 0; y: column n. */
static void two_columns(const int16_t *a, const mq_word *room, int16_t *y, int32_t wide, const mq_matmul_shape *s,
                        const mq_matmul_wide_params *shared) {
    const mq_matmul_wide_params p = *shared; /* a copy, which y cannot overlap */
    for (int32_t m = 0; m < s->rows; m++) {
        const two_sums acc = multiply(a, room, s->depth);
        y[0] = finish(acc.a, &p);
        if (wide) {
            y[1] = finish(acc.b, &p);
        }
        y += s->columns;
        a += s->depth;
    }
}

/* A product of several rows. */
static void by_columns(const int16_t *a, const int16_t *b, int16_t *y, int16_t *room, const mq_matmul_shape *s,
                       const mq_matmul_wide_params *p) {
    mq_word *words = (mq_word *)(void *)room;
    int32_t n = 0;
    for (; n + 2 <= s->columns; n += 2) {
        lay_out(words, b + n, s->columns, s->depth);
        two_columns(a, words, y + n, 1, s, p);
    }
    if (n < s->columns) {
        lay_out_alone(words, b + n, s->columns, s->depth);
        two_columns(a, words, y + n, 0, s, p);
    }
}

static inline two_sums add_two_rows(two_sums acc, uint32_t row, uint32_t first, uint32_t second) {
    acc.a = mq_smlald(row, mq_pkhbt(first, second), acc.a);
    acc.b = mq_smlald(row, mq_pkhtb(first, second), acc.b);
    return acc;
}

/* A row with the two columns at b, whose rows are `step` apart. */
static two_sums in_place(const int16_t *row, const int16_t *b, int32_t step, int32_t depth) {
    two_sums acc = {0, 0};
    for (const int16_t *end = row + (depth & ~3); row != end; b += 4 * step) {
        acc = add_two_rows(acc, mq_next_halves(&row), mq_load_halves(b), mq_load_halves(b + step));
        acc = add_two_rows(acc, mq_next_halves(&row), mq_load_halves(b + 2 * step), mq_load_halves(b + 3 * step));
    }
    if (depth & 2) {
        acc = add_two_rows(acc, mq_next_halves(&row), mq_load_halves(b), mq_load_halves(b + step));
        b += 2 * step;
    }
    if (depth & 1) {
        acc.a += (int32_t)row[0] * b[0];
        acc.b += (int32_t)row[0] * b[1];
    }
    return acc;
}

static int64_t one_column(const int16_t *row, const int16_t *b, int32_t step, int32_t depth) {
    int64_t acc = 0;
    for (const int16_t *end = row + depth; row != end; b += step) {
        acc += (int32_t)*row++ * *b;
    }
    return acc;
}

/* A product of one row. */
static void by_row(const int16_t *a, const int16_t *b, int16_t *y, const mq_matmul_shape *s,
                   const mq_matmul_wide_params *p) {
    int32_t n = 0;
    for (; n + 2 <= s->columns; n += 2) {
        const two_sums acc = in_place(a, b + n, s->columns, s->depth);
        y[n] = finish(acc.a, p);
        y[n + 1] = finish(acc.b, p);
    }
    if (n < s->columns) {
        y[n] = finish(one_column(a, b + n, s->columns, s->depth), p);
    }
}

void mq_matmul_s16(const int16_t *a, const int16_t *b, int16_t *y, int16_t *room, const mq_matmul_shape *s,
                   const mq_matmul_wide_params *p) {
    const int32_t pairs = mq_matmul_pairs(s);
    for (int32_t pair = 0; pair < pairs; pair++) {
        const mq_matmul_pair at = mq_matmul_pair_at(s, pair);
        if (s->rows > 1) {
            by_columns(a + at.a, b + at.b, y + at.y, room, s, p);
        } else {
            by_row(a + at.a, b + at.b, y + at.y, s, p);
        }
    }
}
