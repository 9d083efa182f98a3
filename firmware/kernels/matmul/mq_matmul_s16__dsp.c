/* Two rows of a with two columns of b at a time. The columns lie side by side: two steps k of the first, two of the
 * second, and so on; two LDR, LDRD and four SMLALD make eight products.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_dsp.h"
#include "mq_fixed.h"
#include "mq_matmul_pairs.h"

/* Sums of both rows with both columns: first row, then second. */
typedef struct {
    int64_t a;
    int64_t a_next;
    int64_t b;
    int64_t b_next;
} block;

/* Lays out a column whose values are `step` apart: its halves of every four values; 0 behind the last. */
static void lay_out(int16_t *room, const int16_t *b, int32_t step, int32_t depth) {
    int32_t k = depth;
    for (; k >= 2; k -= 2, room += 4) {
        room[0] = b[0];
        room[1] = b[step];
        b += 2 * step;
    }
    if (k > 0) {
        room[0] = b[0];
        room[1] = 0;
    }
}

static inline block add_two(block acc, uint32_t row, uint32_t row_next, const mq_word **columns) {
    const mq_two_words v = mq_ldrd(columns);
    acc.a = mq_smlald(row, v.a, acc.a);
    acc.a_next = mq_smlald(row, v.b, acc.a_next);
    acc.b = mq_smlald(row_next, v.a, acc.b);
    acc.b_next = mq_smlald(row_next, v.b, acc.b_next);
    return acc;
}

static block multiply(const int16_t *row, const int16_t *row_next, const mq_word *columns, int32_t depth) {
    block acc = {0, 0, 0, 0};
    for (const int16_t *end = row + (depth & ~1); row != end;) {
        const uint32_t first = mq_next_halves(&row);
        acc = add_two(acc, first, mq_next_halves(&row_next), &columns);
    }
    if (depth & 1) {
        acc = add_two(acc, mq_pack(row[0], 0), mq_pack(row_next[0], 0), &columns);
    }
    return acc;
}

static inline int16_t finish(int64_t acc, const mq_matmul_wide_params *p) {
    return mq_sat_s16(mq_requantise64(acc, p->narrow, p->multiplier, p->shift));
}

/* Columns n and n + 1 of one product, or n alone if `wide` is 0; y: column n. */
static void two_columns(const int16_t *a, const int16_t *room, int16_t *y, int32_t wide, const mq_matmul_shape *s,
                        const mq_matmul_wide_params *shared) {
    const mq_matmul_wide_params p = *shared; /* a copy, which y cannot overlap */
    const mq_word *columns = (const mq_word *)(const void *)room;
    for (int32_t m = 0; m < s->rows; m += 2) {
        const int32_t both = m + 1 < s->rows;
        const block acc = multiply(a, both ? a + s->depth : a, columns, s->depth);
        y[0] = finish(acc.a, &p);
        if (wide) {
            y[1] = finish(acc.a_next, &p);
        }
        y += s->columns;
        if (both) {
            y[0] = finish(acc.b, &p);
            if (wide) {
                y[1] = finish(acc.b_next, &p);
            }
            y += s->columns;
        }
        a += 2 * s->depth;
    }
}

void mq_matmul_s16(const int16_t *a, const int16_t *b, int16_t *y, int16_t *room, const mq_matmul_shape *s,
                   const mq_matmul_wide_params *p) {
    const int32_t pairs = mq_matmul_pairs(s);
    for (int32_t pair = 0; pair < pairs; pair++) {
        const mq_matmul_pair at = mq_matmul_pair_at(s, pair);
        for (int32_t n = 0; n < s->columns; n += 2) {
            const int32_t wide = n + 1 < s->columns;
            const int16_t *column = b + at.b + n;
            lay_out(room, column, s->columns, s->depth);
            lay_out(room + 2, wide ? column + 1 : column, s->columns, s->depth);
            two_columns(a + at.a, room, y + at.y + n, wide, s, p);
        }
    }
}
