/* A row of a with four columns of b at a time. Four steps k of them, b_zero subtracted, are eight words,
 *   b[k0] b[k2] of each column, then b[k1] b[k3] of each,
 * as SXTB16 makes of four bytes of a row: LDR, two SXTB16, two LDM and eight SMLAD make 16 products.
 * sum (a - a_zero)(b - b_zero) = sum a (b - b_zero) - a_zero sum (b - b_zero).
 *
 * A single row does not pay for laying out columns. It lies in `room` instead, a_zero subtracted, and meets four
 * columns of b where they lie. SPDX-License-Identifier: Apache-2.0 */
#include "mq_dsp.h"
#include "mq_fixed.h"
#include "mq_matmul_pairs.h"

/* Of four columns. */
typedef struct {
    int32_t a;
    int32_t b;
    int32_t c;
    int32_t d;
} four_sums;

static inline uint32_t load(const int8_t *b, uint32_t count) {
    return count == 4u ? mq_load_bytes(b) : mq_load_some_bytes(b, count);
}

/* Four rows of four columns, without zero, to eight words. */
static inline mq_word *put(mq_word *room, const uint32_t *rows, uint32_t minus_zero) {
    for (int32_t k = 0; k < 2; k++) {
        const uint32_t even = mq_sxtab16(minus_zero, rows[k]), odd = mq_sxtab16_odd(minus_zero, rows[k]);
        const uint32_t even_next = mq_sxtab16(minus_zero, rows[k + 2]),
                       odd_next = mq_sxtab16_odd(minus_zero, rows[k + 2]);
        *room++ = mq_pkhbt(even, even_next);
        *room++ = mq_pkhbt(odd, odd_next);
        *room++ = mq_pkhtb(even, even_next);
        *room++ = mq_pkhtb(odd, odd_next);
    }
    return room;
}

/* Lays out the `count` <= 4 columns at b, whose rows are `step` apart; zeros behind the last row. */
static inline void lay_out_some(mq_word *room, const int8_t *b, int32_t step, int32_t depth, int32_t zero,
                                uint32_t count) {
    const uint32_t minus_zero = mq_pack(-zero, -zero);
    for (; depth >= 4; depth -= 4) {
        const uint32_t rows[4] = {load(b, count), load(b + step, count), load(b + 2 * step, count),
                                  load(b + 3 * step, count)};
        room = put(room, rows, minus_zero);
        b += 4 * step;
    }
    if (depth > 0) {
        const uint32_t none = (uint32_t)(uint8_t)zero * 0x01010101u;
        const uint32_t rows[4] = {load(b, count), depth > 1 ? load(b + step, count) : none,
                                  depth > 2 ? load(b + 2 * step, count) : none, none};
        put(room, rows, minus_zero);
    }
}

MQ_OUT_OF_LINE void lay_out(mq_word *room, const int8_t *b, int32_t step, int32_t depth, int32_t zero) {
    lay_out_some(room, b, step, depth, zero, 4);
}

MQ_OUT_OF_LINE void lay_out_few(mq_word *room, const int8_t *b, int32_t step, int32_t depth, int32_t zero,
                                uint32_t count) {
    lay_out_some(room, b, step, depth, zero, count);
}

/* a_zero times the sum of each column. */
static four_sums offsets_of(const mq_word *room, int32_t depth, int32_t a_zero) {
    const uint32_t ones = 0x00010001u;
    four_sums sum = {0, 0, 0, 0};
    for (; depth > 0; depth -= 4) {
        const mq_four_words v = mq_ldm4(&room);
        const mq_four_words odd = mq_ldm4(&room);
        sum.a = mq_smlad(odd.a, ones, mq_smlad(v.a, ones, sum.a));
        sum.b = mq_smlad(odd.b, ones, mq_smlad(v.b, ones, sum.b));
        sum.c = mq_smlad(odd.c, ones, mq_smlad(v.c, ones, sum.c));
        sum.d = mq_smlad(odd.d, ones, mq_smlad(v.d, ones, sum.d));
    }
    const four_sums offsets = {a_zero * sum.a, a_zero * sum.b, a_zero * sum.c, a_zero * sum.d};
    return offsets;
}

/* Two steps. */
static inline four_sums add_two(four_sums acc, uint32_t row, const mq_word **columns) {
    const mq_four_words v = mq_ldm4(columns);
    acc.a = mq_smlad(row, v.a, acc.a);
    acc.b = mq_smlad(row, v.b, acc.b);
    acc.c = mq_smlad(row, v.c, acc.c);
    acc.d = mq_smlad(row, v.d, acc.d);
    return acc;
}

/* Four steps: bytes of the row. */
static inline four_sums add_four(four_sums acc, uint32_t row, const mq_word **columns) {
    acc = add_two(acc, mq_sxtb16(row), columns);
    return add_two(acc, mq_sxtb16_odd(row), columns);
}

static inline four_sums multiply(const int8_t *row, const mq_word *columns, int32_t depth) {
    four_sums acc = {0, 0, 0, 0};
    for (const int8_t *end = row + (depth & ~7); row != end;) {
        acc = add_four(acc, mq_next_bytes(&row), &columns);
        acc = add_four(acc, mq_next_bytes(&row), &columns);
    }
    if (depth & 4) {
        acc = add_four(acc, mq_next_bytes(&row), &columns);
    }
    if (depth & 3) {
        acc = add_four(acc, mq_load_some_bytes(row, (uint32_t)depth & 3u), &columns);
    }
    return acc;
}

static inline int8_t finish(int32_t acc, const mq_matmul_params *p) {
    return mq_sat_s8(p->y_zero + mq_requantise(acc, p->multiplier, p->shift));
}

/* The `count` <= 4 columns in `room` of a product; y: the first of them. */
static void multiply_rows(const int8_t *a, const mq_word *room, int8_t *y, int32_t count, const mq_matmul_shape *s,
                          const mq_matmul_params *shared) {
    const mq_matmul_params p = *shared; /* a copy, which y cannot overlap */
    const four_sums offsets = offsets_of(room, s->depth, p.a_zero);
    for (int32_t m = 0; m < s->rows; m++) {
        const four_sums acc = multiply(a, room, s->depth);
        y[0] = finish(acc.a - offsets.a, &p);
        if (count > 1) {
            y[1] = finish(acc.b - offsets.b, &p);
        }
        if (count > 2) {
            y[2] = finish(acc.c - offsets.c, &p);
        }
        if (count > 3) {
            y[3] = finish(acc.d - offsets.d, &p);
        }
        y += s->columns;
        a += s->depth;
    }
}

/* A product of three rows or more. */
static void by_columns(const int8_t *a, const int8_t *b, int8_t *y, int16_t *room, const mq_matmul_shape *s,
                       const mq_matmul_params *p) {
    mq_word *words = (mq_word *)(void *)room;
    if (s->columns < 4) {
        lay_out_few(words, b, s->columns, s->depth, p->b_zero, (uint32_t)s->columns);
        multiply_rows(a, words, y, s->columns, s, p);
        return;
    }
    for (int32_t n = 0; n < s->columns; n += 4) {
        const int32_t first = n + 4 <= s->columns ? n : s->columns - 4; /* the last four may be made twice */
        lay_out(words, b + first, s->columns, s->depth, p->b_zero);
        multiply_rows(a, words, y + first, 4, s, p);
    }
}

/* A row of a without a_zero; returns its sum. */
static int32_t lay_out_row(int16_t *room, const int8_t *a, int32_t depth, int32_t zero) {
    int32_t sum = 0;
    for (const int16_t *end = room + depth; room != end; room++) {
        *room = (int16_t)(*a++ - zero);
        sum += *room;
    }
    return sum;
}

/* Two steps of a row with two rows of four columns. */
static inline four_sums add_two_rows(four_sums acc, uint32_t row, uint32_t first, uint32_t second) {
    const uint32_t even = mq_sxtb16(first), odd = mq_sxtb16_odd(first);
    const uint32_t even_next = mq_sxtb16(second), odd_next = mq_sxtb16_odd(second);
    acc.a = mq_smlad(row, mq_pkhbt(even, even_next), acc.a);
    acc.b = mq_smlad(row, mq_pkhbt(odd, odd_next), acc.b);
    acc.c = mq_smlad(row, mq_pkhtb(even, even_next), acc.c);
    acc.d = mq_smlad(row, mq_pkhtb(odd, odd_next), acc.d);
    return acc;
}

/* A row with the four columns at b, whose rows are `step` apart. */
static four_sums four_columns(const int16_t *row, const int8_t *b, int32_t step, int32_t depth) {
    four_sums acc = {0, 0, 0, 0};
    for (const int16_t *end = row + (depth & ~1); row != end; b += 2 * step) {
        acc = add_two_rows(acc, mq_next_halves(&row), mq_load_bytes(b), mq_load_bytes(b + step));
    }
    return depth & 1 ? add_two_rows(acc, mq_pack(*row, 0), mq_load_bytes(b), 0) : acc;
}

static int32_t one_column(const int16_t *row, const int8_t *b, int32_t step, int32_t depth) {
    int32_t acc = 0;
    for (const int16_t *end = row + depth; row != end; b += step) {
        acc += *row++ * *b;
    }
    return acc;
}

/* A product of few rows. */
static void by_rows(const int8_t *a, const int8_t *b, int8_t *y, int16_t *room, const mq_matmul_shape *s,
                    const mq_matmul_params *p) {
    for (int32_t m = 0; m < s->rows; m++) {
        const int32_t offset = p->b_zero * lay_out_row(room, a, s->depth, p->a_zero);
        for (int32_t n = 0; n < s->columns && s->columns < 4; n++) {
            y[n] = finish(one_column(room, b + n, s->columns, s->depth) - offset, p);
        }
        for (int32_t n = 0; n < s->columns && s->columns >= 4; n += 4) {
            const int32_t first = n + 4 <= s->columns ? n : s->columns - 4;
            const four_sums acc = four_columns(room, b + first, s->columns, s->depth);
            y[first] = finish(acc.a - offset, p);
            y[first + 1] = finish(acc.b - offset, p);
            y[first + 2] = finish(acc.c - offset, p);
            y[first + 3] = finish(acc.d - offset, p);
        }
        y += s->columns;
        a += s->depth;
    }
}

void mq_matmul_s8(const int8_t *a, const int8_t *b, int8_t *y, int16_t *room, const mq_matmul_shape *s,
                  const mq_matmul_params *p) {
    const int32_t pairs = mq_matmul_pairs(s);
    for (int32_t pair = 0; pair < pairs; pair++) {
        const mq_matmul_pair at = mq_matmul_pair_at(s, pair);
        if (s->rows > 2) {
            by_columns(a + at.a, b + at.b, y + at.y, room, s, p);
        } else {
            by_rows(a + at.a, b + at.b, y + at.y, room, s, p);
        }
    }
}
