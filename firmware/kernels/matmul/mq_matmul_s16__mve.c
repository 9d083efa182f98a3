/* Two columns of b at a time are laid out in `room`, then multiplied with the rows of a: a load for each of the three
 * and two VMLALDAVA into 64 bits for sixteen products. Where a has few rows, columns are gathered where they lie.
 * mq_matmul.h has the mathematics. SPDX-License-Identifier:
 * Apache-2.0 */
#include "mq_fixed.h"
#include "mq_matmul_pairs.h"
#include "mq_mve_conv.h"
#include "mq_mve_copies.h"

/* Rows whose sums lie on the stack. */
#define MQ_ROWS 32u

/* Rows of a for which laying out columns does not pay, and columns that lanes of 16 bits can step over. */
#define MQ_FEW_ROWS 2
#define MQ_MOST_COLUMNS 8192

/* Sums of a row of a with two columns, brought to 32 bits by `narrow` bits. */
static void row(const int16_t *a, const int16_t *first, const int16_t *second, uint32_t depth, int32_t narrow,
                int32_t *sum, int32_t *other) {
    int64_t u = 0;
    int64_t v = 0;
    for (uint32_t eights = depth >> 3; eights; eights--) {
        const int16x8_t x = mq_next_s16(&a);
        u = vmlaldavaq_s16(u, x, mq_next_s16(&first));
        v = vmlaldavaq_s16(v, x, mq_next_s16(&second));
    }
    if (depth & 7u) {
        const mve_pred16_t some = vctp16q(depth & 7u);
        const int16x8_t x = vldrhq_z_s16(a, some);
        u = vmlaldavaq_s16(u, x, vldrhq_z_s16(first, some));
        v = vmlaldavaq_s16(v, x, vldrhq_z_s16(second, some));
    }
    *sum = (int32_t)mq_rshr64(u, narrow);
    *other = (int32_t)mq_rshr64(v, narrow);
}

/* Results of `count` rows in one column of y. Of `sums`, whole vectors are read. */
static void finish(const int32_t *sums, uint32_t count, int16_t *y, uint32_t columns, const mq_matmul_wide_params *p) {
    const uint32_t places[4] = {0, columns, 2u * columns, 3u * columns};
    const uint32x4_t at = vldrwq_u32(places);
    const int32x4_t multiplier = vdupq_n_s32(p->multiplier);
    const int32x4_t shift = vdupq_n_s32(p->shift);
    const mq_limits limits = mq_limits_of(0, -32768, 32767);
    for (uint32_t k = 0; k < count; k += 4u, y += 4u * columns) {
        const int32x4_t value = mq_requantise_s32(vldrwq_s32(sums + k), multiplier, shift);
        vstrhq_scatter_shifted_offset_p_s32(y, at, mq_limited(value, &limits), vctp32q(count - k));
    }
}

/* Sums of a row of a with two columns of b, whose values are at the places first and second. */
static void sums_of_two(const int16_t *a, const int16_t *b, uint32_t depth, uint32_t columns, uint16x8_t first,
                        uint16x8_t second, int32_t narrow, int32_t *sums) {
    int64_t u = 0;
    int64_t v = 0;
    for (uint32_t eights = depth >> 3; eights; eights--, b += 8u * columns) {
        const int16x8_t x = mq_next_s16(&a);
        u = vmlaldavaq_s16(u, x, vldrhq_gather_shifted_offset_s16(b, first));
        v = vmlaldavaq_s16(v, x, vldrhq_gather_shifted_offset_s16(b, second));
    }
    if (depth & 7u) {
        const mve_pred16_t some = vctp16q(depth & 7u);
        const int16x8_t x = vldrhq_z_s16(a, some);
        u = vmlaldavaq_s16(u, x, vldrhq_gather_shifted_offset_z_s16(b, first, some));
        v = vmlaldavaq_s16(v, x, vldrhq_gather_shifted_offset_z_s16(b, second, some));
    }
    sums[0] = (int32_t)mq_rshr64(u, narrow);
    sums[1] = (int32_t)mq_rshr64(v, narrow);
}

/* One row of a with all of b. */
static void single(const int16_t *a, const int16_t *b, int16_t *y, const mq_matmul_shape *s,
                   const mq_matmul_wide_params *p) {
    const uint32_t depth = (uint32_t)s->depth;
    const uint32_t columns = (uint32_t)s->columns;
    const uint16x8_t first = mq_steps_of_eight(columns);
    int32_t sums[MQ_ROWS];
    for (uint32_t j = 0; j < columns; j += MQ_ROWS) {
        const uint32_t count = columns - j < MQ_ROWS ? columns - j : MQ_ROWS;
        for (uint32_t k = 0; k < count; k += 2u) { /* the last column alone twice */
            const uint16x8_t second = k + 1u < count ? vaddq_n_u16(first, 1) : first;
            sums_of_two(a, b + j + k, depth, columns, first, second, p->narrow, sums + k);
        }
        finish(sums, count, y + j, 1, p);
    }
}

/* One pair of matrices. */
static void product(const int16_t *a, const int16_t *b, int16_t *y, int16_t *room, const mq_matmul_shape *s,
                    const mq_matmul_wide_params *p) {
    const uint32_t rows = (uint32_t)s->rows;
    const uint32_t depth = (uint32_t)s->depth;
    const uint32_t columns = (uint32_t)s->columns;
    for (uint32_t j = 0; j < columns; j += 2u) {
        const int two = columns - j >= 2u;
        const int16_t *second = two ? room + depth : room;
        mq_put_s16(room, b + j, depth, columns);
        if (two) {
            mq_put_s16(room + depth, b + j + 1, depth, columns);
        }
        for (uint32_t m = 0; m < rows; m += MQ_ROWS) {
            const uint32_t count = rows - m < MQ_ROWS ? rows - m : MQ_ROWS;
            int32_t sums[2][MQ_ROWS];
            for (uint32_t k = 0; k < count; k++) {
                row(a + (m + k) * depth, room, second, depth, p->narrow, &sums[0][k], &sums[1][k]);
            }
            finish(sums[0], count, y + m * columns + j, columns, p);
            if (two) {
                finish(sums[1], count, y + m * columns + j + 1u, columns, p);
            }
        }
    }
}

void mq_matmul_s16(const int16_t *a, const int16_t *b, int16_t *y, int16_t *room, const mq_matmul_shape *s,
                   const mq_matmul_wide_params *p) {
    const int32_t pairs = mq_matmul_pairs(s);
    for (int32_t pair = 0; pair < pairs; pair++) {
        const mq_matmul_pair at = mq_matmul_pair_at(s, pair);
        if (s->rows > MQ_FEW_ROWS || s->columns > MQ_MOST_COLUMNS) {
            product(a + at.a, b + at.b, y + at.y, room, s, p);
            continue;
        }
        for (int32_t m = 0; m < s->rows; m++) {
            single(a + at.a + m * s->depth, b + at.b, y + at.y + m * s->columns, s, p);
        }
    }
}
