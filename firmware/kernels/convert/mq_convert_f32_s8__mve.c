/* Four values at a time; mq_mve_convert.h has the arithmetic.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_convert.h"

#include "mq_mve_convert.h"

void mq_convert_f32_s8(const float *x, int8_t *y, uint32_t n, float inverse_scale, int32_t zero) {
    const mq_to_integers q = mq_to_integers_of(inverse_scale, zero, -128, 127);
    MQ_BY_FOUR(vldrwq_f32, vldrwq_z_f32, mq_integers, &q, vstrbq_s32, vstrbq_p_s32)
}
