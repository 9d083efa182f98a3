/* mq_transpose_dsp.h has how, mq_conv_transpose.h the mathematics.
 * SPDX-License-Identifier: Apache-2.0 */
#define MQ_CONV_TRANSPOSE mq_conv_transpose_s16
#define MQ_X(name) name##_s16
#define MQ_Y(name) name##_s16
#include "mq_transpose_dsp.h"
