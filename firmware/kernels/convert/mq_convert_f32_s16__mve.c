/* Four values at a time; mq_mve_convert.h has the arithmetic.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_convert.h"

#include "mq_mve_convert.h"

void mq_convert_f32_s16(const float *x, int16_t *y, uint32_t n, float inverse_scale, int32_t zero) {
    const mq_to_integers q = mq_to_integers_of(inverse_scale, zero, -32768, 32767);
    MQ_BY_FOUR(vldrwq_f32, vldrwq_z_f32, mq_integers, &q, vstrhq_s32, vstrhq_p_s32)
}
