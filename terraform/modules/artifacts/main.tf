# The artifact store: files by digest, pointers of repositories, results that runners hand in.

resource "aws_s3_bucket" "artifacts" {
  bucket        = var.bucket_name
  force_destroy = false

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_public_access_block" "artifacts" {
  bucket = aws_s3_bucket.artifacts.id

  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_policy" "artifacts" {
  bucket = aws_s3_bucket.artifacts.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid       = "TlsOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [aws_s3_bucket.artifacts.arn, "${aws_s3_bucket.artifacts.arn}/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
      {
        # The first result at a place stays (docs/adr/0018-runners-in-the-cloud.md).
        Sid       = "ResultsAreNotReplaced"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:PutObject"
        Resource  = "${aws_s3_bucket.artifacts.arn}/results/*"
        Condition = { Null = { "s3:if-none-match" = "true" } }
      },
      {
        # What cannot be read at once would keep a lease from ending.
        Sid       = "ResultsCanBeRead"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:PutObject"
        Resource  = "${aws_s3_bucket.artifacts.arn}/results/*"
        # Who names no class puts into this one, so the refusal needs a name to be there.
        Condition = {
          StringNotEquals = { "s3:x-amz-storage-class" = "STANDARD" }
          Null            = { "s3:x-amz-storage-class" = "false" }
        }
      },
      ], length(var.reader_distribution_arns) == 0 ? [] : [{
        Sid       = "DistributionReadsBlobs"
        Effect    = "Allow"
        Principal = { Service = "cloudfront.amazonaws.com" }
        Action    = "s3:GetObject"
        Resource  = "${aws_s3_bucket.artifacts.arn}/blobs/sha256/*"
        Condition = { StringEquals = { "AWS:SourceArn" = var.reader_distribution_arns } }
    }])
  })

  # The block refuses policies that make the bucket public, so it stands before there is a policy.
  depends_on = [aws_s3_bucket_public_access_block.artifacts]
}

# The last act of a runner is the manifest of its result. It triggers collect.
resource "aws_s3_bucket_notification" "results" {
  bucket = aws_s3_bucket.artifacts.id

  queue {
    id            = "results"
    queue_arn     = var.results_queue_arn
    events        = ["s3:ObjectCreated:*"]
    filter_prefix = "results/"
  }
}

resource "aws_cloudwatch_metric_alarm" "size" {
  alarm_name          = "${var.prefix}-artifacts-size"
  alarm_description   = "The artifact bucket has more than ${var.max_gigabytes} GB. Is the daily prune at work? docs/how-to/keep-disk-free.md says what it keeps."
  namespace           = "AWS/S3"
  metric_name         = "BucketSizeBytes"
  dimensions          = { BucketName = aws_s3_bucket.artifacts.id, StorageType = "StandardStorage" }
  statistic           = "Maximum"
  period              = 86400
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.max_gigabytes * 1000 * 1000 * 1000
  treat_missing_data  = "notBreaching"
  alarm_actions       = [var.alarm_topic_arn]
  ok_actions          = [var.alarm_topic_arn]
}
