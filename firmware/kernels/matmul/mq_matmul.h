/* Products of matrices: y[m, n] = sum_k a[m, k] b[k, n], for each of batch[0] * batch[1] * batch[2] pairs of matrices.
 *
 * y: [batch[0], batch[1], batch[2], rows, columns], row-major. The pair at (i, j, l) is matrix
 * i a_step[0] + j a_step[1] + l a_step[2] of a: [.., rows, depth], and the same with b_step of b: [.., depth, columns];
 * a step of 0 uses a matrix again. Either may be a constant. y overlaps nothing.
 *
 * room: for two columns of b in s16 (s8 on DSP cores: four), each rounded up to a multiple of 4; NULL for those that
 * need none (s16 scalar).
 *
 *   f32, f16   sums in f32, in the order of k.
 *   s8         acc = sum (a - a_zero)(b - b_zero), which fits 32 bits as depth <= 33025
 *              y = sat(y_zero + requantise(acc, multiplier, shift))
 *   s8_frame_* scales were found for this frame, of each row of a by itself (a_scale: one per row of all its matrices)
 *              and one of b, whose zero point is 0; output in floats: y = acc * (a_scale[m] * b_scale[0]), in f32
 *   s16        a 64-bit acc = sum a b, rounded to 32 bits by `narrow` bits before requantising: 2^30 depth < 2^(31 +
 * narrow) SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_MATMUL_H
#define MQ_MATMUL_H

#include "mq_base.h"

typedef struct {
    int32_t batch[3];
    int32_t a_step[3];
    int32_t b_step[3];
    int32_t rows;
    int32_t depth;
    int32_t columns;
} mq_matmul_shape;

typedef struct {
    int32_t a_zero;
    int32_t b_zero;
    int32_t multiplier;
    int32_t shift;
    int32_t y_zero;
} mq_matmul_params;

typedef struct {
    int32_t narrow;
    int32_t multiplier;
    int32_t shift;
} mq_matmul_wide_params;

void mq_matmul_f32(const float *a, const float *b, float *y, const mq_matmul_shape *s);
void mq_matmul_f16(const mq_f16 *a, const mq_f16 *b, mq_f16 *y, const mq_matmul_shape *s);
void mq_matmul_s8(const int8_t *a, const int8_t *b, int8_t *y, int16_t *room, const mq_matmul_shape *s,
                  const mq_matmul_params *p);
void mq_matmul_s8_frame_f32(const int8_t *a, const float *a_scale, const int8_t *b, const float *b_scale, float *y,
                            int16_t *room, const mq_matmul_shape *s, int32_t a_zero);
void mq_matmul_s8_frame_f16(const int8_t *a, const float *a_scale, const int8_t *b, const float *b_scale, mq_f16 *y,
                            int16_t *room, const mq_matmul_shape *s, int32_t a_zero);
void mq_matmul_s16(const int16_t *a, const int16_t *b, int16_t *y, int16_t *room, const mq_matmul_shape *s,
                   const mq_matmul_wide_params *p);

#endif
