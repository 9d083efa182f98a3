/* Four columns of b at a time are packed as mq_mve_rows.h has rows, then multiplied with the rows of a.
 * sum (a - a_zero)(b - b_zero) = sum a b - a_zero sum b - b_zero sum a + depth a_zero b_zero, modulo 2^32.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_matmul_pairs.h"
#include "mq_mve_conv.h"

/* Columns n.. of b, of which there are `count` <= 4, packed in blocks; 0 for those that are missing. Returns their
 * sums. */
static int32x4_t pack(int8_t *block, const int8_t *b, uint32_t count, const mq_matmul_shape *s) {
    const mve_pred16_t some = vctp32q(count);
    const uint32_t depth = (uint32_t)s->depth;
    int32x4_t sums = vdupq_n_s32(0);
    for (uint32_t k = 0; k < depth; k += 16u) {
        const uint32_t chunk = depth - k < 16u ? depth - k : 16u;
        const uint32_t places[4] = {0, chunk, 2u * chunk, 3u * chunk};
        const uint32x4_t at = vldrwq_u32(places);
        for (uint32_t left = chunk; left; left--) {
            const int32x4_t row = vldrbq_z_s32(b, some);
            vstrbq_scatter_offset_s32(block, at, row);
            sums = vaddq_s32(sums, row);
            block++;
            b += s->columns;
        }
        block += 3u * chunk;
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
    const int32x4_t left = vdupq_n_s32(p->shift > 0 ? p->shift : 0);
    const int32x4_t right = vdupq_n_s32(p->shift < 0 ? p->shift - 1 : -1);
    const int32x4_t multiplier = vdupq_n_s32(p->multiplier);
    const mq_limits limits = mq_limits_of(p->y_zero, -128, 127);
    for (; rows; rows--, sums += 4, offsets++) {
        const int32x4_t acc = vaddq_s32(vsubq_n_s32(vldrwq_s32(sums), *offsets), start);
        const int32x4_t wide = vqdmulhq_s32(vqshlq_s32(acc, left), multiplier);
        vstrbq_p_s32(y, mq_limited(vrshlq_s32(wide, right), &limits), some);
        y += s->columns;
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
        const int32x4_t sum = pack(block, b + j, count, s);
        const int32x4_t start = vaddq_n_s32(vmulq_s32(sum, vdupq_n_s32(-p->a_zero)), p->a_zero * p->b_zero * s->depth);
        int32_t sums[4u * MQ_WINDOWS];
        for (uint32_t m = 0; m < rows; m += MQ_WINDOWS) {
            const uint32_t together = rows - m < MQ_WINDOWS ? rows - m : MQ_WINDOWS;
            mq_windows_s8(&n, a + m * depth, block, together, sums);
            finish(sums, start, offsets + m, together, count, y + m * columns + j, s, p);
        }
    }
}

void mq_matmul_s8(const int8_t *a, const int8_t *b, int8_t *y, int16_t *room, const mq_matmul_shape *s,
                  const mq_matmul_params *p) {
    const int32_t pairs = mq_matmul_pairs(s);
    const uint32_t rows = (uint32_t)s->rows;
    for (int32_t pair = 0; pair < pairs; pair++) {
        const mq_matmul_pair at = mq_matmul_pair_at(s, pair);
        for (uint32_t m = 0; m < rows; m += MQ_SUMS) {
            const uint32_t together = rows - m < MQ_SUMS ? rows - m : MQ_SUMS;
            product(a + at.a + m * (uint32_t)s->depth, b + at.b, y + at.y + m * (uint32_t)s->columns, (int8_t *)room,
                    together, s, p);
        }
    }
}
