/* Column by column of b; mq_matmul_columns.h has the mathematics.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_float.h"
#include "mq_matmul.h"

#define MQ_MATMUL mq_matmul_s8_frame_f16
#define MQ_VALUE mq_f16
#define MQ_STORE(real) mq_f32_to_f16(real)
#include "mq_matmul_frame_columns.h"
