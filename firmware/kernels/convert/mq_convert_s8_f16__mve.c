/* Four values at a time; mq_mve_convert.h has the arithmetic.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_convert.h"

#include "mq_mve_convert.h"

void mq_convert_s8_f16(const int8_t *x, mq_f16 *y, uint32_t n, float scale, int32_t zero) {
    const mq_to_reals q = {scale, zero};
    MQ_BY_FOUR(vldrbq_s32, vldrbq_z_s32, mq_reals, &q, mq_put_four_f16, mq_put_four_p_f16)
}
