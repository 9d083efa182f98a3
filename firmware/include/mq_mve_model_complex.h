/* Helium's intrinsics for complex values in pairs of lanes (re, im), modelled in C; mq_mve_model.h includes this file.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_MVE_MODEL_COMPLEX_H
#define MQ_MVE_MODEL_COMPLEX_H

#include "mq_mve_model_float.h"

MQ_LANES(int32x4_t, 4u, vldrwq_gather_shifted_offset_s32, (const int32_t *p, uint32x4_t offset), p[offset.lane[i]])
MQ_SCATTER(int32x4_t, 4u, uint32x4_t, vstrwq_scatter_shifted_offset_s32, int32_t, mq_low_s32)
MQ_SCATTER(float32x4_t, 4u, uint32x4_t, vstrwq_scatter_shifted_offset_f32, float, MQ_AS_IT_IS)

/* a + i b and a - i b. */
MQ_LANES(int32x4_t, 4u, vcaddq_rot90_s32, (int32x4_t a, int32x4_t b),
         mq_low_s32(i % 2u ? (int64_t)a.lane[i] + b.lane[i - 1u] : (int64_t)a.lane[i] - b.lane[i + 1u]))
MQ_LANES(int32x4_t, 4u, vcaddq_rot270_s32, (int32x4_t a, int32x4_t b),
         mq_low_s32(i % 2u ? (int64_t)a.lane[i] - b.lane[i - 1u] : (int64_t)a.lane[i] + b.lane[i + 1u]))
MQ_LANES(float32x4_t, 4u, vcaddq_rot90_f32, (float32x4_t a, float32x4_t b),
         i % 2u ? mq_model_add(a.lane[i], b.lane[i - 1u]) : mq_model_add(a.lane[i], -b.lane[i + 1u]))
MQ_LANES(float32x4_t, 4u, vcaddq_rot270_f32, (float32x4_t a, float32x4_t b),
         i % 2u ? mq_model_add(a.lane[i], -b.lane[i - 1u]) : mq_model_add(a.lane[i], b.lane[i + 1u]))

/* Real and imaginary part exchanged. */
MQ_LANES(int32x4_t, 4u, vrev64q_s32, (int32x4_t a), a.lane[i ^ 1u])
MQ_LANES(float32x4_t, 4u, vrev64q_f32, (float32x4_t a), a.lane[i ^ 1u])

MQ_LANES(int32x4_t, 4u, vabsq_s32, (int32x4_t a), mq_low_s32(a.lane[i] < 0 ? -(int64_t)a.lane[i] : a.lane[i]))

/* High word of twice the product, rounded; it saturates where both are -2^31. */
static inline int32_t mq_vqrdmulh(int32_t a, int32_t b) {
    return mq_saturated_s32(((int64_t)a * b + ((int64_t)1 << 30)) >> 31);
}

MQ_LANES(int32x4_t, 4u, vqrdmulhq_s32, (int32x4_t a, int32x4_t b), mq_vqrdmulh(a.lane[i], b.lane[i]))
MQ_LANES(int32x4_t, 4u, vqrdmulhq_n_s32, (int32x4_t a, int32_t b), mq_vqrdmulh(a.lane[i], b))

#endif
