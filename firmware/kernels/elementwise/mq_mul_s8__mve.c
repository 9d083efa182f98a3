/* Four values at a time; mq_mve_elementwise.h has the arithmetic.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_mve_elementwise.h"

MQ_WITH(MQ_ELEMENTWISE, mq_mul_s8, int8_t, mq_mul_params, mq_factors, mq_factors_of, -128, 127, mq_mul_four,
        MQ_S8_BY_FOUR)
