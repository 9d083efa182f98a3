/* Two rows of a with two columns of b at a time. Four steps k of both columns, b_zero subtracted, are four words:
 *   b[k0] b[k2] | b[k1] b[k3] of the first, then of the second column,
 * as SXTB16 makes of four bytes of a row: LDM, two LDR, four SXTB16 and eight SMLAD make 16 products.
 * sum (a - a_zero)(b - b_zero) = sum a (b - b_zero) - a_zero sum (b - b_zero).
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_dsp.h"
#include "mq_fixed.h"
#include "mq_matmul_pairs.h"

/* Sums of both rows with both columns: first row, then second. */
typedef struct {
    int32_t a;
    int32_t a_next;
    int32_t b;
    int32_t b_next;
} block;

/* Lays out a column whose values are `step` apart: its halves of every eight values; 0 behind the last. */
static void lay_out(int16_t *room, const int8_t *b, int32_t step, int32_t depth, int32_t zero) {
    int32_t k = depth;
    for (; k >= 4; k -= 4, room += 8) {
        room[0] = (int16_t)(b[0] - zero);
        room[2] = (int16_t)(b[step] - zero);
        room[1] = (int16_t)(b[2 * step] - zero);
        room[3] = (int16_t)(b[3 * step] - zero);
        b += 4 * step;
    }
    if (k > 0) {
        room[0] = (int16_t)(b[0] - zero);
        room[2] = (int16_t)(k > 1 ? b[step] - zero : 0);
        room[1] = (int16_t)(k > 2 ? b[2 * step] - zero : 0);
        room[3] = 0;
    }
}

/* a_zero times the sum of each column. */
static void offsets_of(const int16_t *room, int32_t fours, int32_t a_zero, int32_t *offsets) {
    int32_t sum = 0;
    int32_t sum_next = 0;
    for (; fours > 0; fours--, room += 8) {
        sum = mq_smlad(mq_load_halves(room), 0x00010001u, sum);
        sum = mq_smlad(mq_load_halves(room + 2), 0x00010001u, sum);
        sum_next = mq_smlad(mq_load_halves(room + 4), 0x00010001u, sum_next);
        sum_next = mq_smlad(mq_load_halves(room + 6), 0x00010001u, sum_next);
    }
    offsets[0] = a_zero * sum;
    offsets[1] = a_zero * sum_next;
}

/* Four steps: bytes of both rows with four words of the columns. */
static inline block add_four(block acc, uint32_t row, uint32_t row_next, const mq_word **columns) {
    const mq_four_words v = mq_ldm4(columns);
    const uint32_t even = mq_sxtb16(row);
    const uint32_t odd = mq_sxtb16_odd(row);
    acc.a = mq_smlad(odd, v.b, mq_smlad(even, v.a, acc.a));
    acc.a_next = mq_smlad(odd, v.d, mq_smlad(even, v.c, acc.a_next));
    const uint32_t even_next = mq_sxtb16(row_next);
    const uint32_t odd_next = mq_sxtb16_odd(row_next);
    acc.b = mq_smlad(odd_next, v.b, mq_smlad(even_next, v.a, acc.b));
    acc.b_next = mq_smlad(odd_next, v.d, mq_smlad(even_next, v.c, acc.b_next));
    return acc;
}

static block multiply(const int8_t *row, const int8_t *row_next, const mq_word *columns, int32_t depth) {
    block acc = {0, 0, 0, 0};
    for (const int8_t *end = row + (depth & ~7); row != end;) {
        const uint32_t first = mq_next_bytes(&row);
        acc = add_four(acc, first, mq_next_bytes(&row_next), &columns);
        const uint32_t second = mq_next_bytes(&row);
        acc = add_four(acc, second, mq_next_bytes(&row_next), &columns);
    }
    if (depth & 4) {
        const uint32_t first = mq_next_bytes(&row);
        acc = add_four(acc, first, mq_next_bytes(&row_next), &columns);
    }
    if (depth & 3) {
        const uint32_t left = (uint32_t)depth & 3u;
        acc = add_four(acc, mq_load_some_bytes(row, left), mq_load_some_bytes(row_next, left), &columns);
    }
    return acc;
}

static inline int8_t finish(int32_t acc, const mq_matmul_params *p) {
    return mq_sat_s8(p->y_zero + mq_requantise(acc, p->multiplier, p->shift));
}

/* Columns n and n + 1 of one product, or n alone if `wide` is 0; y: column n. */
static void two_columns(const int8_t *a, const int16_t *room, int8_t *y, int32_t wide, const mq_matmul_shape *s,
                        const mq_matmul_params *shared) {
    const mq_matmul_params p = *shared; /* a copy, which y cannot overlap */
    const mq_word *columns = (const mq_word *)(const void *)room;
    int32_t offsets[2];
    offsets_of(room, (s->depth + 3) / 4, p.a_zero, offsets);
    for (int32_t m = 0; m < s->rows; m += 2) {
        const int32_t both = m + 1 < s->rows;
        const block acc = multiply(a, both ? a + s->depth : a, columns, s->depth);
        y[0] = finish(acc.a - offsets[0], &p);
        if (wide) {
            y[1] = finish(acc.a_next - offsets[1], &p);
        }
        y += s->columns;
        if (both) {
            y[0] = finish(acc.b - offsets[0], &p);
            if (wide) {
                y[1] = finish(acc.b_next - offsets[1], &p);
            }
            y += s->columns;
        }
        a += 2 * s->depth;
    }
}

void mq_matmul_s8(const int8_t *a, const int8_t *b, int8_t *y, int16_t *room, const mq_matmul_shape *s,
                  const mq_matmul_params *p) {
    const int32_t pairs = mq_matmul_pairs(s);
    for (int32_t pair = 0; pair < pairs; pair++) {
        const mq_matmul_pair at = mq_matmul_pair_at(s, pair);
        for (int32_t n = 0; n < s->columns; n += 2) {
            const int32_t wide = n + 1 < s->columns;
            const int8_t *column = b + at.b + n;
            lay_out(room, column, s->columns, s->depth, p->b_zero);
            lay_out(room + 4, wide ? column + 1 : column, s->columns, s->depth, p->b_zero);
            two_columns(a + at.a, room, y + at.y + n, wide, s, p);
        }
    }
}
