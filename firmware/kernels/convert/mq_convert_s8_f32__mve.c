/* Four values at a time; mq_mve_convert.h has the arithmetic.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_convert.h"

#include "mq_mve_convert.h"

void mq_convert_s8_f32(const int8_t *x, float *y, uint32_t n, float scale, int32_t zero) {
    const mq_to_reals q = {scale, zero};
    MQ_BY_FOUR(vldrbq_s32, vldrbq_z_s32, mq_reals, &q, vstrwq_f32, vstrwq_p_f32)
}
