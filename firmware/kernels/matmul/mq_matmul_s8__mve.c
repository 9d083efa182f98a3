/* Four columns of b at a time are packed as mq_mve_rows.h has rows, then multiplied with the rows of a. Where a has few
 * rows, columns are gathered where they lie.
 * sum (a - a_zero)(b - b_zero) = sum a b - a_zero sum b - b_zero sum a + depth a_zero b_zero, modulo 2^32.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_matmul_pairs.h"
#include "mq_mve_conv.h"
#include "mq_mve_copies.h"

/* Rows of a for which packing b does not pay, and columns that lanes of 16 bits can step over. */
#define MQ_FEW_ROWS 2
#define MQ_MOST_COLUMNS 8192

/* `rows` values of four columns of b, put where the rows of a block lie, `rows` apart. Adds them to `sums`. */
static inline int32x4_t put_four(int8_t *block, const int8_t *b, uint32_t rows, uint32_t columns, int32x4_t sums) {
    const uint32_t places[4] = {0, rows, 2u * rows, 3u * rows};
    const uint32x4_t at = vldrwq_u32(places);
    for (; rows; rows--, b += columns) {
        const int32x4_t row = vldrbq_s32(b);
        vstrbq_scatter_offset_s32(block++, at, row);
        sums = vaddq_s32(sums, row);
    }
    return sums;
}

/* The same of those in `some`; 0 for the others. */
static inline int32x4_t put_some(int8_t *block, const int8_t *b, uint32_t rows, uint32_t columns, int32x4_t sums,
                                 mve_pred16_t some) {
    const uint32_t places[4] = {0, rows, 2u * rows, 3u * rows};
    const uint32x4_t at = vldrwq_u32(places);
    for (; rows; rows--, b += columns) {
        const int32x4_t row = vldrbq_z_s32(b, some);
        vstrbq_scatter_offset_s32(block++, at, row);
        sums = vaddq_s32(sums, row);
    }
    return sums;
}

/* Columns n.. of b, of which there are `count` <= 4, packed in blocks; 0 for those that are missing. Returns their
 * sums. */
static int32x4_t pack(int8_t *block, const int8_t *b, uint32_t count, uint32_t depth, uint32_t columns) {
    int32x4_t sums = vdupq_n_s32(0);
    for (uint32_t k = 0; k < depth; k += 16u) {
        const uint32_t chunk = depth - k < 16u ? depth - k : 16u;
        if (count == 4u) {
            sums = put_four(block, b, chunk, columns, sums);
        } else {
            sums = put_some(block, b, chunk, columns, sums, vctp32q(count));
        }
        block += 4u * chunk;
        b += chunk * columns;
    }
    return sums;
}

/* b_zero times the sums of `count` rows of a. */
static void offsets_of(const int8_t *a, uint32_t count, const mq_matmul_shape *s, int32_t b_zero, int32_t *offsets) {
    for (uint32_t m = 0; m < count; m++) {
        int32_t sum = 0;
        for (uint32_t k = 0; k < (uint32_t)s->depth; k += 16u) {
            sum = vaddvaq_s8(sum, vldrbq_z_s8(a + k, vctp8q((uint32_t)s->depth - k)));
        }
        offsets[m] = b_zero * sum;
        a += s->depth;
    }
}

/* Requantised sums, with `start` added, of `rows` rows of a with `count` columns, next to one another in y. */
static void finish(const int32_t *sums, int32x4_t start, const int32_t *offsets, uint32_t rows, uint32_t count,
                   int8_t *y, const mq_matmul_shape *s, const mq_matmul_params *p) {
    const mve_pred16_t some = vctp32q(count);
    const uint32_t columns = (uint32_t)s->columns;
    mq_to_scale scale = mq_to_scale_of(0, p->multiplier, p->shift, p->y_zero, -128, 127);
    for (; rows; rows--, sums += 4, y += columns) {
        scale.x_zero = *offsets++;
        vstrbq_p_s32(y, mq_rescaled(vaddq_s32(vldrwq_s32(sums), start), &scale), some);
    }
}

/* Some rows of a, at most MQ_SUMS, with all of b. */
static void product(const int8_t *a, const int8_t *b, int8_t *y, int8_t *block, uint32_t rows, const mq_matmul_shape *s,
                    const mq_matmul_params *p) {
    const uint32_t depth = (uint32_t)s->depth;
    const uint32_t columns = (uint32_t)s->columns;
    mq_patch n = mq_patch_of_row(depth, 16, MQ_WINDOWS);
    n.resident = n.rest ? 0u : n.resident; /* rows of a are read where they lie */
    int32_t offsets[MQ_SUMS];
    offsets_of(a, rows, s, p->b_zero, offsets);
    for (uint32_t j = 0; j < columns; j += 4u) {
        const uint32_t count = columns - j < 4u ? columns - j : 4u;
        const int32x4_t sum = pack(block, b + j, count, depth, columns);
        const int32x4_t start = vaddq_n_s32(vmulq_s32(sum, vdupq_n_s32(-p->a_zero)), p->a_zero * p->b_zero * s->depth);
        int32_t sums[4u * MQ_WINDOWS];
        for (uint32_t m = 0; m < rows; m += MQ_WINDOWS) {
            const uint32_t together = rows - m < MQ_WINDOWS ? rows - m : MQ_WINDOWS;
            mq_windows_s8(&n, a + m * depth, block, together, sums);
            finish(sums, start, offsets + m, together, count, y + m * columns + j, s, p);
        }
    }
}

/* a - a_zero in 16 bits. Returns its sum. */
static int32_t widened(int16_t *to, const int8_t *a, uint32_t depth, int32_t a_zero) {
    int32_t sum = 0;
    for (uint32_t k = 0; k < depth; k += 8u) {
        const mve_pred16_t some = vctp16q(depth - k);
        const int16x8_t v = vsubq_n_s16(vldrbq_z_s16(a + k, some), (int16_t)a_zero);
        sum = vaddvaq_p_s16(sum, v, some);
        vstrhq_p_s16(to + k, v, some);
    }
    return sum;
}

/* sums[k] = sum_i a[i] b[i, k], of four columns whose values are at the places at[k]. */
static void sums_of_four(const int16_t *a, const int8_t *b, uint32_t depth, uint32_t columns, const uint16x8_t *at,
                         int32_t *sums) {
    const uint16x8_t at0 = at[0];
    const uint16x8_t at1 = at[1];
    const uint16x8_t at2 = at[2];
    const uint16x8_t at3 = at[3];
    int32_t s0 = 0;
    int32_t s1 = 0;
    int32_t s2 = 0;
    int32_t s3 = 0;
    for (uint32_t eights = depth >> 3; eights; eights--, b += 8u * columns) {
        const int16x8_t x = mq_next_s16(&a);
        s0 = vmladavaq_s16(s0, x, vldrbq_gather_offset_s16(b, at0));
        s1 = vmladavaq_s16(s1, x, vldrbq_gather_offset_s16(b, at1));
        s2 = vmladavaq_s16(s2, x, vldrbq_gather_offset_s16(b, at2));
        s3 = vmladavaq_s16(s3, x, vldrbq_gather_offset_s16(b, at3));
    }
    if (depth & 7u) {
        const mve_pred16_t some = vctp16q(depth & 7u);
        const int16x8_t x = vldrhq_z_s16(a, some);
        s0 = vmladavaq_s16(s0, x, vldrbq_gather_offset_z_s16(b, at0, some));
        s1 = vmladavaq_s16(s1, x, vldrbq_gather_offset_z_s16(b, at1, some));
        s2 = vmladavaq_s16(s2, x, vldrbq_gather_offset_z_s16(b, at2, some));
        s3 = vmladavaq_s16(s3, x, vldrbq_gather_offset_z_s16(b, at3, some));
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

/* One row of a with all of b. Columns behind the last four are summed one by one, four times the same. */
static void single(const int8_t *a, const int8_t *b, int8_t *y, int16_t *room, const mq_matmul_shape *s,
                   const mq_matmul_params *p) {
    const uint32_t depth = (uint32_t)s->depth;
    const uint32_t columns = (uint32_t)s->columns;
    const int32_t offset = p->b_zero * widened(room, a, depth, p->a_zero);
    const mq_to_scale scale = mq_to_scale_of(offset, p->multiplier, p->shift, p->y_zero, -128, 127);
    const uint16x8_t first = mq_steps_of_eight(columns);
    const uint16x8_t at[4] = {first, vaddq_n_u16(first, 1), vaddq_n_u16(first, 2), vaddq_n_u16(first, 3)};
    const uint16x8_t alone[4] = {first, first, first, first};
    int32_t sums[4];
    uint32_t left = columns;
    for (; left >= 4u; left -= 4u, b += 4, y += 4) {
        sums_of_four(room, b, depth, columns, at, sums);
        vstrbq_s32(y, mq_rescaled(vldrwq_s32(sums), &scale));
    }
    for (; left; left--, b++, y++) {
        sums_of_four(room, b, depth, columns, alone, sums);
        vstrbq_p_s32(y, mq_rescaled(vldrwq_s32(sums), &scale), vctp32q(1));
    }
}

void mq_matmul_s8(const int8_t *a, const int8_t *b, int8_t *y, int16_t *room, const mq_matmul_shape *s,
                  const mq_matmul_params *p) {
    const int32_t pairs = mq_matmul_pairs(s);
    const int few = s->rows <= MQ_FEW_ROWS && s->columns <= MQ_MOST_COLUMNS;
    const uint32_t rows = (uint32_t)s->rows;
    const uint32_t together = few ? 1u : MQ_SUMS;
    for (int32_t pair = 0; pair < pairs; pair++) {
        const mq_matmul_pair at = mq_matmul_pair_at(s, pair);
        for (uint32_t m = 0; m < rows; m += together) {
            const int8_t *from = a + at.a + m * (uint32_t)s->depth;
            int8_t *to = y + at.y + m * (uint32_t)s->columns;
            if (few) {
                single(from, b + at.b, to, room, s, p);
            } else {
                product(from, b + at.b, to, (int8_t *)room, rows - m < together ? rows - m : together, s, p);
            }
        }
    }
}
